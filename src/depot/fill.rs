//! A fill: one blob on its way into the cache, shared by all who wait for it. It belongs to the depot, not to a reader.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Instant, SystemTime};

use bytes::Bytes;
use strum::{EnumString, IntoStaticStr, VariantNames};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TrackedFuture;

use super::ReadError;
use super::board::Board;
use super::rate::Rate;
use super::views::{FillPhase, FillStatus};
use super::wishes::Wishes;
use crate::asset::{BlockList, ByteRange};
use crate::cache::{CacheError, Entry, Partial};
use crate::catalog::Asset;
use crate::task::join_or_panic;

/// How far a fill has come.
#[derive(Clone)]
pub(super) enum Phase {
    /// Not even the size is known yet.
    Starting,
    /// Bytes are coming into the partial.
    Filling(Arc<Partial>),
    /// Every byte is proven, and the blob is in the cache.
    Complete(Entry),
    /// It cannot be stored: whoever wants the bytes streams them through.
    Unstored(String),
    /// It failed.
    Failed(ReadError),
}

/// How a fill ended; the contract's words, in logs and metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, IntoStaticStr, EnumString, VariantNames)]
#[strum(serialize_all = "kebab-case")]
pub enum FillOutcome {
    /// The blob is proven and in the cache.
    Complete,
    /// Every source that answered gave other bytes.
    DigestMismatch,
    /// No source could be read.
    OriginFailed,
    /// The cache has no room, or its disk fails.
    NoSpace,
    /// The object changed, and changed again.
    Changed,
    /// The server stopped, or the job that alone wanted it was cancelled.
    Cancelled,
}

impl FillOutcome {
    /// The contract's word for it.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

impl fmt::Display for FillOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// One blob on its way into the cache.
pub(super) struct Fill {
    asset: Arc<Asset>,
    phase: Mutex<Phase>,
    board: Mutex<Board>,
    /// What works on the partial: connections, writes, hashing.
    jobs: TaskTracker,
    /// Rises with each change of the phase or the board.
    changes: watch::Sender<u64>,
    received: AtomicU64,
    hashed: AtomicU64,
    /// It has waited long enough for those before it.
    turn: AtomicBool,
    rate: Mutex<Rate>,
    /// Tells it from every other, in the order in which they were begun.
    id: u64,
    began: SystemTime,
    /// Who wants it; under the lock of the depot's list of fills.
    wishes: Mutex<Wishes>,
    /// Ends it: nobody wants it any more, or the depot closes.
    stop: CancellationToken,
}

impl Fill {
    /// A fill that has not begun, that nobody wants yet, and that `stop` ends.
    pub(super) fn new(asset: Arc<Asset>, stop: CancellationToken) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self {
            rate: Mutex::new(Rate::new(Instant::now(), 0)),
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            began: SystemTime::now(),
            wishes: Mutex::default(),
            stop,
            asset,
            phase: Mutex::new(Phase::Starting),
            board: Mutex::default(),
            jobs: TaskTracker::new(),
            changes: watch::Sender::new(0),
            received: AtomicU64::new(0),
            hashed: AtomicU64::new(0),
            turn: AtomicBool::new(false),
        }
    }

    /// The asset that it is of.
    pub(super) fn asset(&self) -> &Arc<Asset> {
        &self.asset
    }

    /// Tells it from every other, in the order in which they were begun.
    pub(super) fn id(&self) -> u64 {
        self.id
    }

    /// Who wants it.
    pub(super) fn wishes(&self) -> MutexGuard<'_, Wishes> {
        self.wishes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Cancelled when nobody wants it any more, or the depot closes.
    pub(super) fn stop(&self) -> &CancellationToken {
        &self.stop
    }

    /// How it stands; none: it has ended.
    pub(super) fn view(&self) -> Option<FillStatus> {
        let (bytes, size, phase) = match self.phase() {
            Phase::Starting => (0, self.asset.size, FillPhase::Waiting),
            Phase::Filling(partial) => {
                let (bytes, size) = (self.board().written(), partial.size());
                (bytes, Some(size), if bytes < size { FillPhase::Filling } else { FillPhase::Proving })
            }
            Phase::Complete(_) | Phase::Unstored(_) | Phase::Failed(_) => return None,
        };
        let received = self.received();
        let rate = self.rate.lock().unwrap_or_else(PoisonError::into_inner).at(Instant::now(), received);
        let (name, digest, began) = (self.asset.name.clone(), self.asset.digest, self.began);
        Some(FillStatus { name, digest, began, phase, bytes, size, received, rate })
    }

    /// How far it has come.
    pub(super) fn phase(&self) -> Phase {
        self.phase.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The books. Never held over an await or a system call.
    pub(super) fn board(&self) -> MutexGuard<'_, Board> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells of every change from now on.
    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Wakes all who wait for a change.
    pub(super) fn changed(&self) {
        self.changes.send_modify(|count| *count += 1);
    }

    /// Bytes that came from origins.
    pub(super) fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    /// Counts bytes that came from an origin.
    pub(super) fn add_received(&self, bytes: u64) {
        self.received.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Counts bytes of the whole that were hashed.
    pub(super) fn add_hashed(&self, bytes: u64) {
        self.hashed.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Bytes that came or were hashed: what stands still when nothing happens.
    pub(super) fn moved(&self) -> u64 {
        self.received() + self.hashed.load(Ordering::Relaxed)
    }

    /// It is one of those at work now.
    pub(super) fn take_turn(&self) {
        self.turn.store(true, Ordering::Relaxed);
    }

    /// Whether it is, or was, one of those at work.
    pub(super) fn has_turn(&self) -> bool {
        self.turn.load(Ordering::Relaxed)
    }

    /// Opens the books over `partial`, which knows `grain` bytes at a time: from now on bytes may come.
    pub(super) fn begin(&self, partial: Arc<Partial>, grain: u64, part_size: u64, blocks: Option<Arc<BlockList>>) {
        self.board().begin(partial.size(), part_size, blocks, (grain, &partial.parts()));
        self.enter(Phase::Filling(partial));
    }

    /// Goes over into `phase`, unless it has ended already.
    pub(super) fn enter(&self, phase: Phase) {
        let mut current = self.phase.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(*current, Phase::Starting | Phase::Filling(_)) {
            *current = phase;
        }
        drop(current);
        self.changed();
    }

    /// Waits until more is known than that it is starting.
    pub(super) async fn begun(&self) -> Phase {
        self.past(|phase| matches!(phase, Phase::Starting)).await
    }

    /// Waits until it has ended, in whichever way.
    pub(super) async fn ended(&self) -> Phase {
        self.past(|phase| matches!(phase, Phase::Starting | Phase::Filling(_))).await
    }

    /// Waits until it has left the phases that are `early`.
    async fn past(&self, early: impl Fn(&Phase) -> bool) -> Phase {
        let mut changes = self.changes();
        loop {
            let phase = self.phase();
            if !early(&phase) {
                return phase;
            }
            // The sender is part of `self`, so this cannot fail.
            let _ = changes.changed().await;
        }
    }

    /// Runs `work` on a blocking thread. It goes on even when nobody waits for it any more, until [`Fill::quiet`] has seen
    /// its end.
    pub(super) async fn blocking<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        join_or_panic(self.jobs.spawn_blocking(work)).await
    }

    /// Counts `task` among the jobs that [`Fill::quiet`] waits for.
    pub(super) fn job<F: Future>(&self, task: F) -> TrackedFuture<F> {
        self.jobs.track_future(task)
    }

    /// Waits until nothing works on the partial any more: what comes next finds no late write.
    pub(super) async fn quiet(&self) {
        self.jobs.close();
        self.jobs.wait().await;
        self.jobs.reopen();
    }

    /// Writes `pieces` from `offset` on, which must be missing, and enters them into the books.
    pub(super) async fn write(
        self: Arc<Self>,
        partial: Arc<Partial>,
        offset: u64,
        pieces: Vec<Bytes>,
    ) -> Result<(), CacheError> {
        let fill = Arc::clone(&self);
        let work = move || {
            let length: u64 = pieces.iter().map(|piece| piece.len() as u64).sum();
            partial.write_at(offset, &pieces)?;
            let finished = fill.board().write(ByteRange::new(offset, offset + length));
            // Before the grains are noted, which may wait for the disk.
            fill.changed();
            partial.finish_parts(&finished)
        };
        self.blocking(work).await
    }

    /// Throws the bytes away that no block list has proven (`all`: those too), because of `fault`. Readers that have sent
    /// such bytes on end in it; the others wait for the next ones. Nothing may be at work on the partial.
    pub(super) async fn reset(&self, partial: Arc<Partial>, all: bool, fault: ReadError) -> Result<(), CacheError> {
        self.board().reset(all, fault);
        self.changed();
        self.blocking(move || partial.reset()).await
    }
}
