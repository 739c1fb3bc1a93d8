//! The registry of transfers: the active ones, the last that ended, and their totals.
//!
//! A transfer costs one map entry when it starts and one list entry when it ends; it counts its own bytes.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use foldhash::fast::FixedState;
use parking_lot::{Mutex, MutexGuard};
use strum::EnumCount as _;
use tokio::sync::broadcast;

use super::cache_state::CacheState;
use super::events::{Events, TransferEnd, TransferEvent, TransferFacts};
use super::protocol::Protocol;
use super::transfer_log::{TransferFeed, TransferLog};
use super::transfer_metrics::TransferMetrics;

/// Shards of the map of active transfers: so many threads can start one at a time without waiting for each other.
const SHARDS: usize = 16;
/// Ended transfers that are kept.
const CAPACITY: usize = 500;

/// One active transfer, shared by its owner and the registry.
pub(super) struct ActiveTransfer {
    pub(super) facts: Arc<TransferFacts>,
    sent: AtomicU64,
    cache: Mutex<Option<CacheState>>,
}

/// Totals of one protocol.
#[derive(Clone, Copy, Default)]
struct ProtocolTotals {
    transfers: u64,
    sent: u64,
}

/// Some of the active transfers, and the totals of those of them that ended: under one lock, so that a reader sees each
/// transfer in exactly one of the two.
#[derive(Default)]
struct Shard {
    /// By id. The ids are generated here, so the hash needs no seed.
    active: HashMap<u64, Arc<ActiveTransfer>, FixedState>,
    /// By protocol.
    ended: [ProtocolTotals; Protocol::COUNT],
}

/// A count for each protocol.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ByProtocol {
    /// HTTP, with or without TLS.
    pub http: u64,
    /// TFTP.
    pub tftp: u64,
}

/// The totals of all transfers since the start of the process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TransferTotals {
    /// Active transfers.
    pub active: u64,
    /// All transfers, including active ones.
    pub transfers: ByProtocol,
    /// Payload bytes sent, without retransmissions.
    pub sent: ByProtocol,
}

/// All transfers.
pub(super) struct TransferRegistry {
    shards: [Mutex<Shard>; SHARDS],
    past: Mutex<VecDeque<(Arc<TransferFacts>, TransferEnd)>>,
    metrics: TransferMetrics,
    events: Events<TransferEvent>,
    log: TransferLog,
}

impl ActiveTransfer {
    /// Counts payload bytes that were sent.
    pub(super) fn add_sent(&self, bytes: u64) {
        self.sent.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Sets the total of payload bytes that were sent.
    pub(super) fn set_sent(&self, bytes: u64) {
        self.sent.store(bytes, Ordering::Relaxed);
    }

    /// Payload bytes sent so far.
    pub(super) fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Sets where the bytes come from.
    pub(super) fn set_cache(&self, state: CacheState) {
        *self.cache.lock() = Some(state);
    }

    /// Where the bytes come from. `None` if no bytes were opened yet.
    pub(super) fn cache(&self) -> Option<CacheState> {
        *self.cache.lock()
    }
}

impl TransferRegistry {
    /// An empty registry.
    pub(super) fn new() -> Self {
        Self {
            shards: std::array::from_fn(|_| Mutex::default()),
            past: Mutex::default(),
            metrics: TransferMetrics::new(),
            events: Events::new(),
            log: TransferLog::default(),
        }
    }

    /// Subscribes to the starts and ends of transfers.
    pub(super) fn subscribe(&self) -> broadcast::Receiver<TransferEvent> {
        self.events.subscribe()
    }

    /// Sends all further transfers to the follower that writes their log lines.
    pub(super) fn follow(&self) -> TransferFeed {
        self.log.follow()
    }

    /// Adds a transfer that starts.
    pub(super) fn begin(&self, facts: TransferFacts) -> Arc<ActiveTransfer> {
        let facts = Arc::new(facts);
        let active = ActiveTransfer { facts: Arc::clone(&facts), sent: AtomicU64::new(0), cache: Mutex::default() };
        let active = Arc::new(active);
        self.metrics.protocol(facts.protocol).begin();
        self.shard(facts.id).active.insert(facts.id, Arc::clone(&active));
        self.log.began(&facts);
        self.events.publish(TransferEvent::Began(facts));
        active
    }

    /// Moves a transfer that ended to the past ones.
    pub(super) fn end(&self, facts: &Arc<TransferFacts>, end: TransferEnd) {
        {
            let mut shard = self.shard(facts.id);
            shard.active.remove(&facts.id);
            let totals = &mut shard.ended[facts.protocol as usize];
            totals.transfers += 1;
            totals.sent += end.sent;
        }
        self.metrics.protocol(facts.protocol).end(end.outcome, end.cache, end.sent, end.took);
        let dropped = {
            let mut past = self.past.lock();
            past.push_front((Arc::clone(facts), end.clone()));
            if past.len() > CAPACITY { past.pop_back() } else { None }
        };
        // Freed without the lock.
        drop(dropped);
        self.log.ended(facts, &end);
        self.events.publish(TransferEvent::Ended(Arc::clone(facts), end));
    }

    /// The active transfers, oldest first.
    pub(super) fn active(&self) -> Vec<Arc<ActiveTransfer>> {
        let mut active: Vec<_> = (0..SHARDS as u64)
            .flat_map(|shard| self.shard(shard).active.values().cloned().collect::<Vec<_>>())
            .collect();
        active.sort_unstable_by_key(|transfer| transfer.facts.id);
        active
    }

    /// The ended transfers that are kept, newest first.
    pub(super) fn past(&self) -> VecDeque<(Arc<TransferFacts>, TransferEnd)> {
        self.past.lock().clone()
    }

    /// The totals of all transfers, including active ones.
    pub(super) fn totals(&self) -> TransferTotals {
        let mut active = 0;
        let mut totals = [ProtocolTotals::default(); Protocol::COUNT];
        for shard in 0..SHARDS as u64 {
            let shard = self.shard(shard);
            active += shard.active.len() as u64;
            let running = |transfer: &Arc<ActiveTransfer>| {
                (transfer.facts.protocol as usize, ProtocolTotals { transfers: 1, sent: transfer.sent() })
            };
            for (protocol, more) in shard.ended.into_iter().enumerate().chain(shard.active.values().map(running)) {
                totals[protocol].transfers += more.transfers;
                totals[protocol].sent += more.sent;
            }
        }
        let by_protocol = |count: fn(&ProtocolTotals) -> u64| ByProtocol {
            http: count(&totals[Protocol::Http as usize]),
            tftp: count(&totals[Protocol::Tftp as usize]),
        };
        TransferTotals { active, transfers: by_protocol(|it| it.transfers), sent: by_protocol(|it| it.sent) }
    }

    fn shard(&self, id: u64) -> MutexGuard<'_, Shard> {
        // Below SHARDS, a usize.
        let index = usize::try_from(id % SHARDS as u64).unwrap_or_default();
        self.shards[index].lock()
    }
}
