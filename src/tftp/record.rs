//! The record of a transfer, for the log, the metrics and the boot ledger. It begins when the peer is validated, or when the
//! transfer ends: a flood of forged requests leaves a few records and counts the rest.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use metrics::counter;
use parking_lot::Mutex;
use tracing::warn;

use crate::depot::{CacheState, Depot, Outcome, Protocol, Transfer};
use crate::rate_limit::{RateLimit, TokenBucket};

/// Records of requests whose peer is not validated. A rack of machines that cannot receive a packet stays far below it.
const UNVALIDATED_LIMIT: RateLimit = RateLimit { burst: 256.0, per_second: 20.0 };
/// Log lines that say that requests are not recorded.
const WARNING_LIMIT: RateLimit = RateLimit { burst: 1.0, per_second: 1.0 / 60.0 };

/// Begins the records of all transfers.
pub(super) struct Recorder {
    depot: Depot,
    limits: Mutex<Limits>,
}

struct Limits {
    records: TokenBucket,
    warnings: TokenBucket,
}

/// The record of one transfer. Dropped before it began, it leaves no trace.
pub(super) struct Record {
    recorder: Arc<Recorder>,
    peer: SocketAddr,
    name: String,
    requested: Instant,
    cache: Option<CacheState>,
    begun: Option<Transfer>,
}

impl Recorder {
    /// A recorder for transfers of this depot.
    pub(super) fn new(depot: Depot) -> Arc<Self> {
        let bucket = |limit| TokenBucket::new(limit, Instant::now());
        let limits = Limits { records: bucket(UNVALIDATED_LIMIT), warnings: bucket(WARNING_LIMIT) };
        Arc::new(Self { depot, limits: Mutex::new(limits) })
    }

    /// A record of what `peer` requested at `requested`, not begun. `name` is a name of the catalog or of a script.
    pub(super) fn record(self: &Arc<Self>, peer: SocketAddr, name: &str, requested: Instant) -> Record {
        Record { recorder: Arc::clone(self), peer, name: name.to_owned(), requested, cache: None, begun: None }
    }

    /// Records a request for a name that nothing has. The name comes from the peer.
    pub(super) fn unknown_name(&self, peer: SocketAddr, name: &str) {
        if self.may_record() {
            self.depot.unknown_transfer(Protocol::Tftp, peer, name).finish(Outcome::NotFound, None);
        }
    }

    /// Whether the request of a peer that is not validated may be recorded.
    fn may_record(&self) -> bool {
        let (now, mut limits) = (Instant::now(), self.limits.lock());
        let allowed = limits.records.take(now);
        if !allowed {
            counter!("bootdepot_tftp_unrecorded_requests_total").increment(1);
            if limits.warnings.take(now) {
                warn!(
                    burst = UNVALIDATED_LIMIT.burst,
                    per_second = UNVALIDATED_LIMIT.per_second,
                    "TFTP requests not recorded: too many peers do not answer"
                );
            }
        }
        allowed
    }
}

impl Record {
    /// Whether the record has begun.
    pub(super) fn has_begun(&self) -> bool {
        self.begun.is_some()
    }

    /// Begins the record, unless it has begun, and returns it.
    pub(super) fn begin(&mut self) -> &Transfer {
        self.begun.get_or_insert_with(|| {
            let depot = &self.recorder.depot;
            let mut transfer =
                depot.transfer_since(Protocol::Tftp, self.peer, std::mem::take(&mut self.name), self.requested);
            if let Some(state) = self.cache {
                transfer.set_cache(state);
            }
            transfer
        })
    }

    /// Begins the record if the limit on records of peers that are not validated allows it.
    pub(super) fn begin_within_limit(&mut self) {
        if self.begun.is_none() && self.recorder.may_record() {
            self.begin();
        }
    }

    /// Sets where the bytes come from, before the record begins or after.
    pub(super) fn set_cache(&mut self, state: CacheState) {
        self.cache = Some(state);
        if let Some(transfer) = &mut self.begun {
            transfer.set_cache(state);
        }
    }

    /// Sets the total of payload bytes that were sent.
    pub(super) fn set_sent(&self, bytes: u64) {
        if let Some(transfer) = &self.begun {
            transfer.set_sent(bytes);
        }
    }

    /// Reports that the stored bytes of the transfer cannot be read.
    pub(super) fn report_unreadable(&mut self) {
        self.begin();
        if let Some(transfer) = &self.begun {
            self.recorder.depot.report_unreadable(transfer);
        }
    }

    /// Ends the record after `sent` payload bytes. If it has not begun, it is begun first, within the limit on such records.
    pub(super) fn finish(mut self, outcome: Outcome, sent: u64, detail: Option<&str>) {
        if self.begun.is_none() && !self.recorder.may_record() {
            return;
        }
        self.begin();
        self.set_sent(sent);
        if let Some(transfer) = self.begun {
            transfer.finish(outcome, detail);
        }
    }
}
