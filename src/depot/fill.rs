//! A fill: one blob on its way into the cache, shared by all who wait for it. It belongs to the depot, not to a reader.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use bytes::Bytes;
use tokio::sync::watch;

use super::ReadError;
use super::board::Board;
use super::hashing::blocking;
use crate::asset::{BlockList, ByteRange};
use crate::cache::{CacheError, Entry, Partial};
use crate::catalog::Asset;

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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
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
    /// The server stopped.
    Cancelled,
}

impl FillOutcome {
    /// The contract's word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::DigestMismatch => "digest-mismatch",
            Self::OriginFailed => "origin-failed",
            Self::NoSpace => "no-space",
            Self::Changed => "changed",
            Self::Cancelled => "cancelled",
        }
    }
}

impl fmt::Display for FillOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What a write came to.
#[derive(Debug)]
pub(super) enum WriteError {
    /// The bytes are of a generation that was thrown away.
    Stale,
    /// The disk failed.
    Disk(CacheError),
}

/// One blob on its way into the cache.
pub(super) struct Fill {
    asset: Arc<Asset>,
    phase: Mutex<Phase>,
    board: Mutex<Board>,
    /// Held shared by each write and alone by a reset, so that no late write lands on a newer generation's bytes.
    gate: RwLock<()>,
    /// Rises with each change of the phase or the board.
    changes: watch::Sender<u64>,
    received: AtomicU64,
}

impl Fill {
    /// A fill that has not begun.
    pub(super) fn new(asset: Arc<Asset>) -> Self {
        Self {
            asset,
            phase: Mutex::new(Phase::Starting),
            board: Mutex::default(),
            gate: RwLock::new(()),
            changes: watch::Sender::new(0),
            received: AtomicU64::new(0),
        }
    }

    /// The asset that it is of.
    pub(super) fn asset(&self) -> &Arc<Asset> {
        &self.asset
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

    /// Opens the books over `partial`: from now on bytes may come.
    pub(super) fn begin(&self, partial: Arc<Partial>, part_size: u64, blocks: Option<BlockList>) {
        self.board().begin(partial.size(), part_size, blocks, &partial.parts());
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
        let mut changes = self.changes();
        loop {
            match self.phase() {
                Phase::Starting => {}
                phase => return phase,
            }
            // The sender is part of `self`, so this cannot fail.
            let _ = changes.changed().await;
        }
    }

    /// Writes `pieces`, which belong to `generation`, from `offset` on, and enters them into the books.
    pub(super) async fn write(
        self: Arc<Self>,
        partial: Arc<Partial>,
        generation: u64,
        offset: u64,
        pieces: Vec<Bytes>,
    ) -> Result<(), WriteError> {
        let work = move || {
            let shared = self.gate.read().unwrap_or_else(PoisonError::into_inner);
            if self.board().generation() != generation {
                return Err(WriteError::Stale);
            }
            let length: u64 = pieces.iter().map(|piece| piece.len() as u64).sum();
            partial.write_at(offset, &pieces).map_err(WriteError::Disk)?;
            let finished = self.board().write(ByteRange::new(offset, offset + length));
            self.changed();
            for part in finished {
                partial.finish_part(part).map_err(WriteError::Disk)?;
            }
            drop(shared);
            Ok(())
        };
        blocking(work).await
    }

    /// Throws the bytes away that no block list has proven (`all`: those too). Readers that have sent such bytes on end
    /// in an error; the others wait for the next ones.
    pub(super) async fn reset(
        self: Arc<Self>,
        partial: Arc<Partial>,
        all: bool,
        fault: ReadError,
    ) -> Result<(), CacheError> {
        let work = move || {
            let alone = self.gate.write().unwrap_or_else(PoisonError::into_inner);
            self.board().reset(all, fault);
            let done = partial.reset();
            drop(alone);
            self.changed();
            done
        };
        blocking(work).await
    }
}
