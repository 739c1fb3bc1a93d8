//! The transfers under way, and the last that ended: for whoever wants to look. A transfer's own cost is one entry in a
//! list when it begins and one when it ends; what it sends it counts by itself.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use foldhash::fast::FixedState;
use tokio::sync::broadcast;

use super::events::{Events, TransferEnd, TransferEvent, TransferFacts};
use super::meters::Meters;
use super::views::{TransferRecord, TransferStatus};
use super::{CacheState, Depot, Protocol};

/// Lists of transfers under way: so many threads can begin one at a time without waiting for one another.
const SHARDS: usize = 16;
/// Transfers that ended and are remembered.
const REMEMBERED: usize = 500;

/// One transfer under way, as its owner and whoever looks share it.
pub(super) struct Open {
    pub(super) facts: Arc<TransferFacts>,
    sent: AtomicU64,
    cache: Mutex<Option<CacheState>>,
}

/// The sums of the transfers of one protocol that ended.
#[derive(Clone, Copy, Default)]
struct Ended {
    transfers: u64,
    sent: u64,
}

/// Some of the transfers under way, and the sums of those of them that ended: under one lock, so that each transfer is seen
/// in the one or the other.
#[derive(Default)]
struct Shard {
    /// By their ids: numbers of ours, which need no seed.
    open: HashMap<u64, Arc<Open>, FixedState>,
    /// By protocol.
    ended: [Ended; 2],
}

/// A sum for each protocol.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ByProtocol {
    /// HTTP, over TLS or not.
    pub http: u64,
    /// TFTP.
    pub tftp: u64,
}

/// The sums of all transfers since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TransferTotals {
    /// How many are under way.
    pub active: u64,
    /// How many there were, those under way included.
    pub transfers: ByProtocol,
    /// Payload bytes that they sent, repeats not included.
    pub sent: ByProtocol,
}

/// All transfers.
pub(super) struct Traffic {
    shards: [Mutex<Shard>; SHARDS],
    past: Mutex<VecDeque<(Arc<TransferFacts>, TransferEnd)>>,
    meters: Meters,
    events: Events<TransferEvent>,
}

impl Open {
    /// Counts payload bytes that went out.
    pub(super) fn add_sent(&self, bytes: u64) {
        self.sent.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Says how many payload bytes went out in all.
    pub(super) fn set_sent(&self, bytes: u64) {
        self.sent.store(bytes, Ordering::Relaxed);
    }

    /// Payload bytes that went out so far.
    pub(super) fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Says where its bytes come from.
    pub(super) fn set_cache(&self, state: CacheState) {
        *self.cache.lock().unwrap_or_else(PoisonError::into_inner) = Some(state);
    }

    /// Where its bytes come from.
    pub(super) fn cache(&self) -> Option<CacheState> {
        *self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Traffic {
    /// No transfers.
    pub(super) fn new() -> Self {
        Self {
            shards: std::array::from_fn(|_| Mutex::default()),
            past: Mutex::default(),
            meters: Meters::new(),
            events: Events::new(),
        }
    }

    /// What happens to transfers from now on.
    pub(super) fn subscribe(&self) -> broadcast::Receiver<TransferEvent> {
        self.events.subscribe()
    }

    /// A transfer begins.
    pub(super) fn begin(&self, facts: TransferFacts) -> Arc<Open> {
        let facts = Arc::new(facts);
        let open = Open { facts: Arc::clone(&facts), sent: AtomicU64::new(0), cache: Mutex::default() };
        let open = Arc::new(open);
        self.meters.of(facts.protocol).begin();
        self.shard(facts.id).open.insert(facts.id, Arc::clone(&open));
        self.events.tell(TransferEvent::Began(facts));
        open
    }

    /// A transfer ended.
    pub(super) fn end(&self, facts: &Arc<TransferFacts>, end: TransferEnd) {
        {
            let mut shard = self.shard(facts.id);
            shard.open.remove(&facts.id);
            let sums = &mut shard.ended[facts.protocol as usize];
            sums.transfers += 1;
            sums.sent += end.sent;
        }
        self.meters.of(facts.protocol).end(end.outcome, end.cache, end.sent, end.took);
        let forgotten = {
            let mut past = self.past.lock().unwrap_or_else(PoisonError::into_inner);
            past.push_front((Arc::clone(facts), end.clone()));
            if past.len() > REMEMBERED { past.pop_back() } else { None }
        };
        // Freed where nobody waits for it.
        drop(forgotten);
        self.events.tell(TransferEvent::Ended(Arc::clone(facts), end));
    }

    /// Those under way, the oldest first.
    fn open(&self) -> Vec<Arc<Open>> {
        let mut open: Vec<_> =
            (0..SHARDS as u64).flat_map(|shard| self.shard(shard).open.values().cloned().collect::<Vec<_>>()).collect();
        open.sort_unstable_by_key(|open| open.facts.id);
        open
    }

    fn shard(&self, id: u64) -> MutexGuard<'_, Shard> {
        // Below SHARDS, a usize.
        let index = usize::try_from(id % SHARDS as u64).unwrap_or_default();
        self.shards[index].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Depot {
    /// What happens to transfers from now on.
    pub fn transfers(&self) -> broadcast::Receiver<TransferEvent> {
        self.shared.traffic.subscribe()
    }

    /// The transfers under way, the oldest first, each with what it has sent by now.
    pub fn open_transfers(&self) -> Vec<TransferStatus> {
        let open = self.shared.traffic.open();
        open.iter().map(|open| self.transfer_view(&open.facts, open.sent(), open.cache())).collect()
    }

    /// What each transfer under way has sent by now, by its id: payload bytes.
    pub fn sent_so_far(&self) -> HashMap<u64, u64> {
        self.shared.traffic.open().iter().map(|open| (open.facts.id, open.sent())).collect()
    }

    /// The sums of all transfers, those under way included.
    pub fn transfer_totals(&self) -> TransferTotals {
        let mut active = 0;
        let mut sums = [Ended::default(); 2];
        for shard in 0..SHARDS as u64 {
            let shard = self.shared.traffic.shard(shard);
            active += shard.open.len() as u64;
            let under_way =
                |open: &Arc<Open>| (open.facts.protocol as usize, Ended { transfers: 1, sent: open.sent() });
            for (protocol, more) in shard.ended.into_iter().enumerate().chain(shard.open.values().map(under_way)) {
                sums[protocol].transfers += more.transfers;
                sums[protocol].sent += more.sent;
            }
        }
        let by_protocol = |of: fn(&Ended) -> u64| ByProtocol {
            http: of(&sums[Protocol::Http as usize]),
            tftp: of(&sums[Protocol::Tftp as usize]),
        };
        TransferTotals { active, transfers: by_protocol(|it| it.transfers), sent: by_protocol(|it| it.sent) }
    }

    /// The last 500 transfers that ended, the newest first.
    pub fn past_transfers(&self) -> Vec<TransferRecord> {
        let past = self.shared.traffic.past.lock().unwrap_or_else(PoisonError::into_inner).clone();
        past.iter().map(|(facts, end)| self.past_transfer(facts, end)).collect()
    }

    /// The transfer of these facts as it was at its end.
    pub fn past_transfer(&self, facts: &TransferFacts, end: &TransferEnd) -> TransferRecord {
        TransferRecord {
            transfer: self.transfer_view(facts, end.sent, end.cache),
            outcome: end.outcome,
            ended: facts.began.checked_add(end.took).unwrap_or_else(SystemTime::now),
            took: end.took,
        }
    }

    /// The transfer of these facts, which has sent so much.
    pub fn transfer_view(&self, facts: &TransferFacts, sent: u64, cache: Option<CacheState>) -> TransferStatus {
        TransferStatus {
            id: facts.id,
            protocol: facts.protocol,
            peer: facts.peer,
            host: None,
            name: facts.name.clone(),
            began: facts.began,
            sent,
            size: self.find(&facts.name).and_then(|asset| self.known_size(&asset)),
            cache,
        }
    }
}
