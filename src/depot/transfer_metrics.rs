//! The metrics of transfers. Handles are looked up once, not per transfer: a lookup builds, hashes and compares labels.

use std::sync::OnceLock;
use std::time::Duration;

use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};
use strum::EnumCount as _;

use super::cache_state::CacheState;
use super::outcome::Outcome;
use super::protocol::Protocol;

/// The metrics of all protocols.
pub(super) struct TransferMetrics([ProtocolMetrics; Protocol::COUNT]);

/// The metrics of one protocol.
pub(super) struct ProtocolMetrics {
    protocol: &'static str,
    active: Gauge,
    sent: Counter,
    seconds: Histogram,
    /// By outcome, and by cache state after `none`; created on first use.
    ended: [[OnceLock<Counter>; 1 + CacheState::COUNT]; Outcome::COUNT],
}

impl TransferMetrics {
    /// The metrics of the installed recorder.
    pub(super) fn new() -> Self {
        Self([Protocol::Http, Protocol::Tftp].map(ProtocolMetrics::new))
    }

    /// The metrics of `protocol`.
    pub(super) fn protocol(&self, protocol: Protocol) -> &ProtocolMetrics {
        &self.0[protocol as usize]
    }
}

impl ProtocolMetrics {
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

    /// Counts the start of a transfer.
    pub(super) fn begin(&self) {
        self.active.increment(1.0);
    }

    /// Counts the end of a transfer that sent `sent` payload bytes.
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
