//! What the depot tells of transfers and fills while they happen, for whoever keeps books of them. It knows nobody who listens.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::broadcast;

use super::{CacheState, FillRecord, FillStatus, Outcome, Protocol};

/// Events that a slow listener may be behind before it misses some: more than a rack of a thousand machines makes in the
/// time that a listener may be kept from running.
const BACKLOG: usize = 8192;

/// A transfer's facts that hold from its beginning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransferFacts {
    /// Tells it from every other transfer of this process.
    pub id: u64,
    /// What it speaks.
    pub protocol: Protocol,
    /// The client's address.
    pub peer: SocketAddr,
    /// The asset's name, or what stands for a thing that is no asset: a script, a host's file, an unknown name.
    pub name: String,
    /// When it began.
    pub began: SystemTime,
}

/// How a transfer ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransferEnd {
    /// In which way.
    pub outcome: Outcome,
    /// Where its bytes came from, where it came to any.
    pub cache: Option<CacheState>,
    /// Payload bytes that went out, repeats not included.
    pub sent: u64,
    /// How long it took.
    pub took: Duration,
}

/// One event of a transfer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TransferEvent {
    /// It began.
    Began(Arc<TransferFacts>),
    /// It ended, once.
    Ended(Arc<TransferFacts>, TransferEnd),
}

/// One event of a fill.
#[derive(Debug, Clone, PartialEq)]
pub enum FillEvent {
    /// It was begun; whoever wants to know how far it is asks [`super::Depot::fills`].
    Began(FillStatus),
    /// It ended, once.
    Ended(FillRecord),
}

/// Where events go. Without a listener they cost nothing but their making.
#[derive(Clone)]
pub(super) struct Events<T>(broadcast::Sender<T>);

impl<T: Clone> Events<T> {
    /// Events with no listener yet.
    pub(super) fn new() -> Self {
        Self(broadcast::Sender::new(BACKLOG))
    }

    /// All events from now on.
    pub(super) fn subscribe(&self) -> broadcast::Receiver<T> {
        self.0.subscribe()
    }

    /// Tells whoever listens.
    pub(super) fn tell(&self, event: T) {
        // Nobody listens: nobody misses it.
        let _ = self.0.send(event);
    }
}
