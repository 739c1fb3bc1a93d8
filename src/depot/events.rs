//! Events of transfers and fills, for subscribers such as the boot ledger and the dashboard.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::broadcast;

use super::cache_state::CacheState;
use super::outcome::Outcome;
use super::protocol::Protocol;
use super::status::{FillRecord, FillStatus};

/// Events that a slow subscriber may lag behind before it misses some: more than a rack of a thousand machines causes
/// while a subscriber's task waits for a thread.
const CAPACITY: usize = 8192;

/// The facts of a transfer that are known at its start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransferFacts {
    /// Unique within this process.
    pub id: u64,
    /// The protocol.
    pub protocol: Protocol,
    /// The client's address.
    pub peer: SocketAddr,
    /// The asset's name, or a label for anything else: a script, a host's file, an unknown name.
    pub name: String,
    /// When it started.
    pub began: SystemTime,
}

/// How a transfer ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransferEnd {
    /// The outcome.
    pub outcome: Outcome,
    /// Where its bytes came from. `None` if no bytes were opened.
    pub cache: Option<CacheState>,
    /// Payload bytes sent, without retransmissions.
    pub sent: u64,
    /// The duration.
    pub took: Duration,
    /// Why it ended like this, if the outcome needs a reason.
    pub detail: Option<String>,
    /// The id of a request that failed, which its response has.
    pub request: Option<String>,
}

/// An event of a transfer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TransferEvent {
    /// The transfer started.
    Began(Arc<TransferFacts>),
    /// The transfer ended. Published once for each transfer.
    Ended(Arc<TransferFacts>, TransferEnd),
}

/// An event of a fill.
#[derive(Debug, Clone, PartialEq)]
pub enum FillEvent {
    /// The fill started. [`super::Depot::fills`] has its progress.
    Began(FillStatus),
    /// The fill ended. Published once for each fill.
    Ended(FillRecord),
}

/// A channel of events. Without subscribers, publishing costs only the event itself.
#[derive(Clone)]
pub(super) struct Events<T>(broadcast::Sender<T>);

impl<T: Clone> Events<T> {
    /// A channel without subscribers.
    pub(super) fn new() -> Self {
        Self(broadcast::Sender::new(CAPACITY))
    }

    /// Subscribes to all events from now on.
    pub(super) fn subscribe(&self) -> broadcast::Receiver<T> {
        self.0.subscribe()
    }

    /// Sends an event to all subscribers.
    pub(super) fn publish(&self, event: T) {
        // Fails only if there are no subscribers.
        let _ = self.0.send(event);
    }
}
