//! A fill: one blob on its way into the cache, shared by all its readers. The depot owns it, not a reader.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Instant, SystemTime};

use bytes::Bytes;
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TrackedFuture;

use super::error::ReadError;
use super::fill_bytes::FillBytes;
use super::fill_state::FillState;
use super::interest::Interest;
use super::pace::Pace;
use super::progress::{FillProgress, Readable};
use super::rate::Rate;
use super::status::{FillPhase, FillStatus};
use crate::asset::{BlockList, ByteRange};
use crate::cache::{CacheError, Partial, UnverifiedBlob};
use crate::catalog::Asset;
use crate::task::join_or_panic;

/// One blob on its way into the cache.
pub(super) struct Fill {
    asset: Arc<Asset>,
    state: Mutex<FillState>,
    progress: Mutex<FillProgress>,
    /// Locked before the progress if both are needed.
    pace: Mutex<Pace>,
    /// Everything that uses the partial blob: part fetchers, writes, hashing.
    tasks: TaskTracker,
    /// Increases with each change of the state or the progress.
    changes: watch::Sender<u64>,
    received: AtomicU64,
    hashed: AtomicU64,
    /// Whether the fill got its permit.
    running: AtomicBool,
    rate: Mutex<Rate>,
    /// Unique, in the order in which fills were started.
    id: u64,
    started: SystemTime,
    /// Locked only while the depot's map of active fills is locked.
    interest: Mutex<Interest>,
    /// Cancels the fill.
    stop: CancellationToken,
}

impl Fill {
    /// Creates a fill without interest, which `stop` cancels.
    pub(super) fn new(asset: Arc<Asset>, stop: CancellationToken) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self {
            rate: Mutex::new(Rate::new(Instant::now(), 0)),
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            started: SystemTime::now(),
            interest: Mutex::default(),
            stop,
            asset,
            state: Mutex::new(FillState::Starting),
            progress: Mutex::default(),
            pace: Mutex::default(),
            tasks: TaskTracker::new(),
            changes: watch::Sender::new(0),
            received: AtomicU64::new(0),
            hashed: AtomicU64::new(0),
            running: AtomicBool::new(false),
        }
    }

    /// The asset that is filled.
    pub(super) fn asset(&self) -> &Arc<Asset> {
        &self.asset
    }

    /// Unique, in the order in which fills were started.
    pub(super) fn id(&self) -> u64 {
        self.id
    }

    /// The interest in this fill.
    pub(super) fn interest(&self) -> MutexGuard<'_, Interest> {
        self.interest.lock()
    }

    /// Cancelled when the last interest is withdrawn or the depot closes.
    pub(super) fn stop(&self) -> &CancellationToken {
        &self.stop
    }

    /// The status of the fill; `None` if it has ended.
    pub(super) fn status(&self) -> Option<FillStatus> {
        let (bytes, size, phase) = match self.state() {
            FillState::Starting => (0, self.asset.size, FillPhase::Waiting),
            FillState::Filling(stored) => {
                let (bytes, size) = (self.progress().written(), stored.size());
                (bytes, Some(size), if bytes < size { FillPhase::Filling } else { FillPhase::Proving })
            }
            FillState::Complete(_) | FillState::NotStored(_) | FillState::Failed(_) => return None,
        };
        let received = self.received();
        let rate = self.rate.lock().at(Instant::now(), received);
        let (name, digest, began) = (self.asset.name.clone(), self.asset.digest, self.started);
        Some(FillStatus { name, digest, began, phase, bytes, size, received, rate })
    }

    /// The current state.
    pub(super) fn state(&self) -> FillState {
        self.state.lock().clone()
    }

    /// Whether the fill has ended without the blob.
    pub(super) fn has_failed(&self) -> bool {
        matches!(*self.state.lock(), FillState::Failed(_))
    }

    /// The progress. Never held across an await or a system call.
    pub(super) fn progress(&self) -> MutexGuard<'_, FillProgress> {
        self.progress.lock()
    }

    /// The pace of its reads. Never held across an await or a system call.
    pub(super) fn pace(&self) -> MutexGuard<'_, Pace> {
        self.pace.lock()
    }

    /// Subscribes to changes of the state and the progress.
    pub(super) fn subscribe(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Wakes all subscribers.
    pub(super) fn notify(&self) {
        self.changes.send_modify(|count| *count += 1);
    }

    /// Bytes received from origins.
    pub(super) fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    /// Counts bytes received from an origin.
    pub(super) fn add_received(&self, bytes: u64) {
        self.received.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Counts hashed bytes of the whole.
    pub(super) fn add_hashed(&self, bytes: u64) {
        self.hashed.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Bytes received plus bytes hashed: constant while the fill makes no progress.
    pub(super) fn activity(&self) -> u64 {
        self.received() + self.hashed.load(Ordering::Relaxed)
    }

    /// Marks the fill as running: it got its permit.
    pub(super) fn set_running(&self) {
        self.running.store(true, Ordering::Relaxed);
    }

    /// Whether the fill is running, or was.
    pub(super) fn is_running(&self) -> bool {
        self.running.load(Ordering::Relaxed)
    }

    /// Starts filling `partial`, which records what is written in chunks of `chunk_size` bytes.
    pub(super) fn start(
        &self,
        partial: Arc<Partial>,
        chunk_size: u64,
        part_size: u64,
        block_list: Option<Arc<BlockList>>,
    ) {
        let mut progress = self.progress();
        progress.start(partial.size(), part_size, block_list, (chunk_size, &partial.parts()));
        // Under the same lock: see `readable`.
        self.set_state(FillState::Filling(FillBytes::Partial(partial)));
        drop(progress);
    }

    /// Starts with a blob of which all bytes are on the disk, and none is verified.
    pub(super) fn start_with_blob(&self, blob: Arc<UnverifiedBlob>) {
        let size = blob.size();
        let mut progress = self.progress();
        progress.start(size, size, None, (size, &[true]));
        self.set_state(FillState::Filling(FillBytes::Blob(blob)));
        drop(progress);
    }

    /// The bytes for a reader (see [`FillProgress::readable`]), and where they are stored. `None` if the fill is not running.
    pub(super) fn readable(
        &self,
        range: ByteRange,
        offset: u64,
        tail: u64,
        whole_only: bool,
    ) -> Option<(FillBytes, Readable)> {
        // Both under one lock: what was written to one file may not be read from the file before it.
        let progress = self.progress();
        let FillState::Filling(stored) = self.state() else { return None };
        Some((stored, progress.readable(range, offset, tail, whole_only)))
    }

    /// Sets the state, unless the fill has ended already.
    pub(super) fn set_state(&self, state: FillState) {
        let mut current = self.state.lock();
        if current.is_active() {
            *current = state;
        }
        drop(current);
        self.notify();
    }

    /// Waits until the fill is no longer starting.
    pub(super) async fn wait_started(&self) -> FillState {
        self.wait_until(|state| !matches!(state, FillState::Starting)).await
    }

    /// Waits until the fill has ended.
    pub(super) async fn wait_ended(&self) -> FillState {
        self.wait_until(|state| !state.is_active()).await
    }

    async fn wait_until(&self, condition: impl Fn(&FillState) -> bool) -> FillState {
        let mut changes = self.subscribe();
        loop {
            let state = self.state();
            if condition(&state) {
                return state;
            }
            // The sender is part of `self`, so this cannot fail.
            let _ = changes.changed().await;
        }
    }

    /// Runs `work` on a blocking thread. If the returned future is dropped, the work continues; [`Fill::wait_idle`] waits
    /// for its end.
    pub(super) async fn run_blocking<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        join_or_panic(self.tasks.spawn_blocking(work)).await
    }

    /// Makes [`Fill::wait_idle`] wait for `task`.
    pub(super) fn track<F: Future>(&self, task: F) -> TrackedFuture<F> {
        self.tasks.track_future(task)
    }

    /// Waits until nothing uses the partial blob any more, so that no late write can follow.
    pub(super) async fn wait_idle(&self) {
        self.tasks.close();
        self.tasks.wait().await;
        self.tasks.reopen();
    }

    /// Writes the bytes of `pieces`, which begin at `offset`, that are not written yet, and records them in the progress.
    pub(super) async fn write(
        self: Arc<Self>,
        partial: Arc<Partial>,
        offset: u64,
        pieces: Vec<Bytes>,
    ) -> Result<(), CacheError> {
        let fill = Arc::clone(&self);
        let range = ByteRange::new(offset, offset + pieces.iter().map(|piece| piece.len() as u64).sum::<u64>());
        let gaps = self.progress().reserve_write(range);
        if gaps.is_empty() {
            return Ok(());
        }
        let work = move || {
            for gap in gaps {
                partial.write_at(gap.start, &slice(&pieces, gap.start - offset, gap.len()))?;
                let complete_chunks = fill.progress().write(gap);
                // Before the chunks are recorded, which may wait for the disk.
                fill.notify();
                partial.finish_parts(&complete_chunks)?;
            }
            Ok(())
        };
        self.run_blocking(work).await
    }

    /// Discards the unverified bytes because of `fault`, with `discard_verified` the verified ones too. Readers that sent
    /// discarded bytes end with `fault`; the others wait for new bytes. No task may be using the partial blob.
    pub(super) async fn reset(
        &self,
        partial: Arc<Partial>,
        discard_verified: bool,
        fault: ReadError,
    ) -> Result<(), CacheError> {
        self.progress().reset(discard_verified, fault);
        self.notify();
        self.run_blocking(move || partial.reset()).await
    }
}

/// The `length` bytes of `pieces` after the first `skip`.
fn slice(pieces: &[Bytes], mut skip: u64, mut length: u64) -> Vec<Bytes> {
    let mut slices = Vec::with_capacity(pieces.len());
    for piece in pieces {
        let from = skip.min(piece.len() as u64);
        let to = (piece.len() as u64).min(from + length);
        skip -= from;
        length -= to - from;
        if from < to {
            // Both are at most the length of the piece, which is a usize.
            let at = |offset: u64| usize::try_from(offset).unwrap_or(piece.len());
            slices.push(piece.slice(at(from)..at(to)));
        }
    }
    slices
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slice_crosses_piece_borders() {
        let pieces = [Bytes::from_static(b"abc"), Bytes::from_static(b"de"), Bytes::from_static(b"fgh")];
        for (skip, length) in [(0, 8), (1, 3), (3, 2), (4, 4), (2, 0)] {
            let whole: Vec<u8> = slice(&pieces, skip as u64, length as u64).concat();
            assert_eq!(whole, b"abcdefgh"[skip..skip + length]);
        }
    }
}
