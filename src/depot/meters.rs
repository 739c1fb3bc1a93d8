//! The metrics of transfers. They are looked up once and not for each transfer: a look-up makes, hashes and compares labels.

use std::sync::OnceLock;
use std::time::Duration;

use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};

use super::{CacheState, Outcome, Protocol};

/// Of each protocol.
pub(super) struct Meters([Meter; 2]);

/// Of one protocol.
pub(super) struct Meter {
    protocol: &'static str,
    active: Gauge,
    sent: Counter,
    seconds: Histogram,
    /// By outcome and cache state, as they come up.
    ended: [[OnceLock<Counter>; 5]; 8],
}

impl Meters {
    /// Those of the recorder that is installed.
    pub(super) fn new() -> Self {
        Self([Protocol::Http, Protocol::Tftp].map(Meter::new))
    }

    pub(super) fn of(&self, protocol: Protocol) -> &Meter {
        &self.0[protocol as usize]
    }
}

impl Meter {
    fn new(protocol: Protocol) -> Self {
        let protocol = protocol.as_str();
        Self {
            protocol,
            active: gauge!("bootdepot_transfers_active", "protocol" => protocol),
            sent: counter!("bootdepot_sent_bytes_total", "protocol" => protocol),
            seconds: histogram!("bootdepot_transfer_seconds", "protocol" => protocol),
            ended: Default::default(),
        }
    }

    /// A transfer begins.
    pub(super) fn begin(&self) {
        self.active.increment(1.0);
    }

    /// A transfer ended, having sent so many payload bytes.
    pub(super) fn end(&self, outcome: Outcome, cache: Option<CacheState>, sent: u64, took: Duration) {
        self.active.decrement(1.0);
        self.sent.increment(sent);
        self.seconds.record(took);
        let column = cache.map_or(0, |state| 1 + state as usize);
        let ended = self.ended[outcome as usize][column].get_or_init(|| {
            let cache = cache.map_or("none", CacheState::as_str);
            counter!("bootdepot_transfers_total", "protocol" => self.protocol, "outcome" => outcome.as_str(), "cache" => cache)
        });
        ended.increment(1);
    }
}
