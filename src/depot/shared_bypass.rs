//! One read of the origin that bypasses the cache, shared by all readers that want the asset at about the same time. Each
//! byte is read from the origin once for all of them, as long as they stay together.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use super::bypass::Bypass;
use super::bypass_window::{BypassWindow, Piece, ReaderId, Step};
use super::error::ReadError;
use super::not_stored::Remains;
use super::range_set::RangeSet;
use crate::asset::ByteRange;
use crate::task::{TaskPanicked, blocking};

/// How long a read waits for slow readers in total while others have sent all that it has.
const PATIENCE: Duration = Duration::from_secs(2);

/// A read that several readers share.
pub(super) struct SharedBypass {
    /// The first byte that it reads.
    start: u64,
    /// Whether its bytes are verified block by block, as they arrive.
    by_blocks: bool,
    /// The remains of a fill that was not stored: its bytes are compared with those of the origin.
    remains: Option<Arc<Remains>>,
    state: Mutex<BypassWindow>,
    /// Increases when bytes arrive, and at the end.
    arrivals: watch::Sender<u64>,
    /// Notified when a reader takes bytes, asks for some or leaves.
    taken: Notify,
    /// Notified when a reader leaves.
    left: Notify,
}

impl SharedBypass {
    /// A read that begins at byte `start`, and its first reader, of `range`.
    pub(super) fn new(
        start: u64,
        by_blocks: bool,
        remains: Option<Arc<Remains>>,
        range: ByteRange,
    ) -> (Self, ReaderId) {
        let mut state = BypassWindow::new(start);
        let id = state.add_reader(range);
        let (arrivals, taken, left) = (watch::Sender::new(0), Notify::new(), Notify::new());
        (Self { start, by_blocks, remains, state: Mutex::new(state), arrivals, taken, left }, id)
    }

    /// Adds a reader of `range`, if the read has not ended and still has its first byte. A reader that has sent bytes of
    /// a fill needs a read that compares them with what is left of it.
    pub(super) fn join(&self, range: ByteRange, by_blocks: bool, remains: Option<&Arc<Remains>>) -> Option<ReaderId> {
        let compares = match (remains, &self.remains) {
            (None, _) => true,
            (Some(wanted), Some(compared)) => Arc::ptr_eq(wanted, compared),
            (Some(_), None) => false,
        };
        if self.by_blocks != by_blocks || !compares {
            return None;
        }
        self.state().join(range, by_blocks)
    }

    /// Subscribes to arriving bytes and the end.
    pub(super) fn subscribe(&self) -> watch::Receiver<u64> {
        self.arrivals.subscribe()
    }

    /// Takes the next bytes of `range`, of the attempt that the reader knows. Those before `sendable` may be sent at once.
    pub(super) fn take(&self, id: ReaderId, attempt: u64, range: ByteRange, sendable: u64) -> Result<Piece, ReadError> {
        let piece = self.state().take(id, attempt, range, sendable);
        // Also if there is nothing to take: the read may wait for room, and does not know yet what this reader wants.
        if piece.is_ok() {
            self.taken.notify_one();
        }
        piece
    }

    /// Whether its bytes are verified: as they arrive, or all of them at the end.
    pub(super) fn is_verified(&self) -> bool {
        self.by_blocks || matches!(self.state().end(), Some(Ok(())))
    }

    /// Whether the fill had these bytes of the origin. Only meaningful once they are verified.
    pub(super) fn matches(&self, range: ByteRange) -> bool {
        self.state().matches(range)
    }

    /// Waits until its bytes are verified. Returns whether they are those of `attempt`.
    pub(super) async fn wait_verified(&self, attempt: u64) -> Result<bool, ReadError> {
        let mut arrivals = self.subscribe();
        loop {
            let (end, current) = {
                let state = self.state();
                (state.end().cloned(), state.attempt())
            };
            match end {
                _ if current != attempt => return Ok(false),
                _ if self.by_blocks => return Ok(true),
                Some(end) => return end.map(|()| true),
                // The sender is part of `self`, so this cannot fail.
                None => drop(arrivals.changed().await),
            }
        }
    }

    /// Removes a reader.
    pub(super) fn leave(&self, id: ReaderId) {
        self.state().remove_reader(id);
        self.taken.notify_one();
        self.left.notify_one();
    }

    /// Reads to the end, or until no reader is left.
    pub(super) async fn run(&self, bypass: impl Future<Output = Bypass>) {
        let guard = EndGuard(self);
        let reading = async {
            let mut bypass = bypass.await;
            let mut patience = PATIENCE;
            loop {
                self.wait_for_room(&mut patience).await;
                match bypass.next(&mut || self.restart()).await {
                    Ok(Some(bytes)) => self.add(bytes).await,
                    Ok(None) => return Ok(()),
                    Err(error) => return Err(error),
                }
            }
        };
        let end = tokio::select! {
            end = reading => end,
            () = self.wait_abandoned() => Err(ReadError::Closing),
        };
        guard.end(end);
    }

    /// Waits until more bytes are wanted.
    async fn wait_for_room(&self, patience: &mut Duration) {
        loop {
            let taken = self.taken.notified();
            let step = self.state().next_step(self.by_blocks, patience.is_zero());
            match step {
                Step::Read => return,
                Step::Wait => taken.await,
                Step::WaitForSlow => {
                    let began = Instant::now();
                    let _ = tokio::time::timeout(*patience, taken).await;
                    *patience = patience.saturating_sub(began.elapsed());
                }
            }
        }
    }

    /// Waits until no reader is left. From then on none can join.
    async fn wait_abandoned(&self) {
        loop {
            let left = self.left.notified();
            if self.state().end_if_abandoned() {
                return;
            }
            left.await;
        }
    }

    /// Begins again with another source, unless bytes were sent.
    fn restart(&self) -> bool {
        let restarted = self.state().restart(self.start, self.by_blocks);
        self.arrivals.send_modify(|count| *count += 1);
        restarted
    }

    async fn add(&self, bytes: Bytes) {
        if let Some(remains) = &self.remains {
            self.compare(Arc::clone(remains), bytes.clone()).await;
        }
        self.state().add(bytes);
        self.arrivals.send_modify(|count| *count += 1);
    }

    /// Compares the next bytes with what is left of the fill: with its hash of the first bytes, and with those that the disk
    /// can still read.
    async fn compare(&self, remains: Arc<Remains>, bytes: Bytes) {
        let (at, mut prefix) = {
            let state = self.state();
            state.front()
        };
        let (prefix, same) = blocking(move || {
            let hashed = usize::try_from(remains.prefix.length() - prefix.length()).unwrap_or(usize::MAX);
            prefix.update(&bytes[..hashed.min(bytes.len())]);
            let mut same = RangeSet::default();
            if prefix.length() == remains.prefix.length() && prefix.digest() == remains.prefix.digest() {
                same.insert(ByteRange::whole(prefix.length()));
            }
            let mut found = vec![0; bytes.len()];
            if remains.partial.read_at(at, &mut found).is_ok() {
                // The fill may have written the end of them only, or the beginning.
                let pairs = || bytes.iter().zip(&found);
                let first = pairs().take_while(|(ours, theirs)| ours == theirs).count() as u64;
                let last = pairs().rev().take_while(|(ours, theirs)| ours == theirs).count() as u64;
                let end = at + bytes.len() as u64;
                same.insert(ByteRange::new(at, at + first));
                same.insert(ByteRange::new(end - last, end));
            }
            (prefix, same)
        })
        .await;
        self.state().record_comparison(prefix, &same);
    }

    fn state(&self) -> MutexGuard<'_, BypassWindow> {
        self.state.lock()
    }
}

/// Ends the read when it is dropped, also by a panic.
struct EndGuard<'b>(&'b SharedBypass);

impl EndGuard<'_> {
    fn end(&self, end: Result<(), ReadError>) {
        self.0.state().end_with(end);
    }
}

impl Drop for EndGuard<'_> {
    fn drop(&mut self) {
        let panicked = std::thread::panicking();
        let end = if panicked { ReadError::Internal(TaskPanicked) } else { ReadError::Closing };
        self.0.state().end_with(Err(end));
        self.0.arrivals.send_modify(|count| *count += 1);
    }
}
