//! Health of each origin: counters and the last failure, for operators. It makes no decisions.

use crate::clock;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use parking_lot::Mutex;

use super::error::OriginError;

/// Health of an origin since the server started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OriginStatus {
    /// The origin's name in metrics: its `match`, else the scheme and host of its sources.
    pub origin: String,
    /// Reads requested from it.
    pub requests: u64,
    /// Reads that failed, before or during the body.
    pub failures: u64,
    /// Bytes of bodies received from it.
    pub received: u64,
    /// When a read last received a valid reply head.
    pub last_ok: Option<Timestamp>,
    /// The last failure.
    pub last_error: Option<OriginFailure>,
}

/// A failure of an origin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OriginFailure {
    /// When it happened.
    pub at: Timestamp,
    /// The error message, without secrets.
    pub message: String,
}

/// The records of all origins, by label.
#[derive(Debug, Default)]
pub(super) struct Health(Mutex<BTreeMap<String, Arc<Record>>>);

/// The record of one origin.
#[derive(Debug, Default)]
pub(super) struct Record {
    requests: AtomicU64,
    failures: AtomicU64,
    received: AtomicU64,
    last: Mutex<Last>,
}

#[derive(Debug, Default)]
struct Last {
    ok: Option<Timestamp>,
    error: Option<OriginFailure>,
}

impl Health {
    /// Returns the record of the origin with this label.
    pub(super) fn record_for(&self, label: &str) -> Arc<Record> {
        let mut records = self.0.lock();
        match records.get(label) {
            Some(record) => Arc::clone(record),
            None => Arc::clone(records.entry(label.to_owned()).or_default()),
        }
    }

    /// Returns the status of each origin, sorted by label.
    pub(super) fn list(&self) -> Vec<OriginStatus> {
        self.0.lock().iter().map(|(label, record)| record.status(label)).collect()
    }
}

impl Record {
    /// Records the result of a read request.
    pub(super) fn note_result<T>(&self, result: &Result<T, OriginError>) {
        self.requests.fetch_add(1, Ordering::Relaxed);
        match result {
            Ok(_) => self.last.lock().ok = Some(clock::now()),
            Err(error) => self.note_failure(error),
        }
    }

    /// Whether a read received a valid reply head within the last `window`.
    pub(super) fn succeeded_within(&self, window: Duration) -> bool {
        let last = self.last.lock().ok;
        last.is_some_and(|ok| clock::now().duration_since(ok).unsigned_abs() <= window)
    }

    /// Records received bytes of a body.
    pub(super) fn note_received(&self, bytes: u64) {
        self.received.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Records a failed read.
    pub(super) fn note_failure(&self, error: &OriginError) {
        self.failures.fetch_add(1, Ordering::Relaxed);
        self.last.lock().error = Some(OriginFailure { at: clock::now(), message: error.to_string() });
    }

    fn status(&self, label: &str) -> OriginStatus {
        let last = self.last.lock();
        OriginStatus {
            origin: label.to_owned(),
            requests: self.requests.load(Ordering::Relaxed),
            failures: self.failures.load(Ordering::Relaxed),
            received: self.received.load(Ordering::Relaxed),
            last_ok: last.ok,
            last_error: last.error.clone(),
        }
    }
}
