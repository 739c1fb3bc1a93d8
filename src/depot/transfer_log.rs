//! The log line of each transfer. The ledger of boots writes it with the machine, if it follows the transfers.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::RwLock;
use tokio::sync::mpsc::{self, Receiver, Sender};
use tracing::info;

use super::cache_state::CacheState;
use super::events::{TransferEnd, TransferEvent, TransferFacts};

/// Events that a follower may lag behind: as many as other subscribers.
const CAPACITY: usize = 8192;

/// The machine that a transfer was sent to, as far as it is known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TransferOwner {
    /// The name of its host.
    pub host: Option<String>,
    /// Its MAC.
    pub mac: Option<String>,
    /// The number of its boot.
    pub boot: Option<u64>,
}

/// Writes the log line of a transfer that ended.
pub fn log_transfer(facts: &TransferFacts, end: &TransferEnd, owner: &TransferOwner) {
    let seconds = end.took.as_secs_f64();
    info!(
        target: "bootdepot::transfer",
        protocol = facts.protocol.as_str(),
        peer = %facts.peer,
        host = owner.host,
        mac = owner.mac,
        boot = owner.boot,
        asset = %facts.name,
        outcome = end.outcome.as_str(),
        cache = end.cache.map_or("none", CacheState::as_str),
        bytes = end.sent,
        seconds = format_args!("{seconds:.3}"),
        request = end.request,
        detail = end.detail,
        "transfer",
    );
}

/// The follower that writes the log lines, if there is one.
#[derive(Default)]
pub(super) struct TransferLog {
    follower: RwLock<Option<Follower>>,
}

struct Follower {
    events: Sender<TransferEvent>,
    missed: Arc<AtomicU64>,
}

/// The transfers from now on, for the one follower that writes their log lines.
pub struct TransferFeed {
    events: Receiver<TransferEvent>,
    missed: Arc<AtomicU64>,
}

impl TransferLog {
    /// Sends all further transfers to a new follower.
    pub(super) fn follow(&self) -> TransferFeed {
        let (sender, events) = mpsc::channel(CAPACITY);
        let missed = Arc::<AtomicU64>::default();
        *self.follower.write() = Some(Follower { events: sender, missed: Arc::clone(&missed) });
        TransferFeed { events, missed }
    }

    /// Records a transfer that started.
    pub(super) fn began(&self, facts: &Arc<TransferFacts>) {
        self.send(|| TransferEvent::Began(Arc::clone(facts)));
    }

    /// Records a transfer that ended. Logs it here if there is no follower, or if that lags behind.
    pub(super) fn ended(&self, facts: &Arc<TransferFacts>, end: &TransferEnd) {
        if !self.send(|| TransferEvent::Ended(Arc::clone(facts), end.clone())) {
            log_transfer(facts, end, &TransferOwner::default());
        }
    }

    fn send(&self, event: impl FnOnce() -> TransferEvent) -> bool {
        let follower = self.follower.read();
        let Some(follower) = follower.as_ref().filter(|follower| !follower.events.is_closed()) else { return false };
        let sent = follower.events.try_send(event()).is_ok();
        if !sent {
            follower.missed.fetch_add(1, Ordering::Relaxed);
        }
        sent
    }
}

impl TransferFeed {
    /// Returns the next event; `None` after [`TransferFeed::close`], or when the depot is dropped, once all were returned.
    pub async fn next(&mut self) -> Option<TransferEvent> {
        self.events.recv().await
    }

    /// Takes no further events. Those that were sent before are still returned.
    pub fn close(&mut self) {
        self.events.close();
    }

    /// Returns how many events wait to be returned.
    pub fn waiting(&self) -> usize {
        self.events.len()
    }

    /// Returns how many events were missed since the last call, because the follower lagged behind.
    pub fn take_missed(&self) -> u64 {
        self.missed.swap(0, Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;
    use crate::depot::{Outcome, Protocol};

    fn facts() -> Arc<TransferFacts> {
        let (peer, began) = ("192.0.2.7:4000".parse().unwrap(), SystemTime::now());
        Arc::new(TransferFacts { id: 1, protocol: Protocol::Tftp, peer, name: "x".to_owned(), began })
    }

    #[tokio::test]
    async fn lagging_follower_counts_missed_events() {
        let (log, facts) = (TransferLog::default(), facts());
        let mut feed = log.follow();
        for _ in 0..CAPACITY + 3 {
            log.began(&facts);
        }
        assert_eq!((feed.take_missed(), feed.take_missed()), (3, 0));
        feed.close();
        log.began(&facts);
        assert_eq!(feed.take_missed(), 0, "a closed feed misses nothing");
        let mut received = 0;
        while feed.next().await.is_some() {
            received += 1;
        }
        assert_eq!(received, CAPACITY);
    }

    #[tokio::test]
    async fn follower_gets_end_with_reason() {
        let (log, facts) = (TransferLog::default(), facts());
        let mut feed = log.follow();
        let end = TransferEnd {
            outcome: Outcome::Refused,
            cache: None,
            sent: 0,
            took: Duration::ZERO,
            detail: Some("why".to_owned()),
            request: Some("0000002a".to_owned()),
        };
        log.ended(&facts, &end);
        assert_eq!(feed.next().await, Some(TransferEvent::Ended(facts, end)));
    }
}
