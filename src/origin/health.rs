//! How each origin fares: what operators look at when assets do not come. It decides nothing.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;

use super::OriginError;

/// How an origin fared since the server started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OriginStatus {
    /// The origin as metrics name it: its `match`, else the scheme and host of its sources.
    pub origin: String,
    /// Reads that were asked of it.
    pub requests: u64,
    /// Those that failed, at once or on the way.
    pub failures: u64,
    /// Bytes of bodies that came from it.
    pub received: u64,
    /// When it last began to give what it was asked for.
    pub last_ok: Option<Timestamp>,
    /// How it last failed.
    pub last_error: Option<OriginFailure>,
}

/// A failure of an origin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OriginFailure {
    /// When.
    pub at: Timestamp,
    /// What was wrong; it holds no secret.
    pub message: String,
}

/// The books of all origins.
#[derive(Debug, Default)]
pub(super) struct Health(Mutex<BTreeMap<String, Arc<Record>>>);

/// The book of one.
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
    /// The book of the origin with this label.
    pub(super) fn of(&self, label: &str) -> Arc<Record> {
        let mut records = self.records();
        match records.get(label) {
            Some(record) => Arc::clone(record),
            None => Arc::clone(records.entry(label.to_owned()).or_default()),
        }
    }

    /// All of them, in the order of their names.
    pub(super) fn list(&self) -> Vec<OriginStatus> {
        self.records().iter().map(|(label, record)| record.view(label)).collect()
    }

    fn records(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Record>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Record {
    /// A read was asked for, and came to this.
    pub(super) fn asked<T>(&self, result: &Result<T, OriginError>) {
        self.requests.fetch_add(1, Ordering::Relaxed);
        match result {
            Ok(_) => self.last().ok = Some(Timestamp::now()),
            Err(error) => self.failed(error),
        }
    }

    /// So many bytes of a body came.
    pub(super) fn received(&self, bytes: u64) {
        self.received.fetch_add(bytes, Ordering::Relaxed);
    }

    /// A read failed.
    pub(super) fn failed(&self, error: &OriginError) {
        self.failures.fetch_add(1, Ordering::Relaxed);
        self.last().error = Some(OriginFailure { at: Timestamp::now(), message: error.to_string() });
    }

    fn view(&self, label: &str) -> OriginStatus {
        let last = self.last();
        OriginStatus {
            origin: label.to_owned(),
            requests: self.requests.load(Ordering::Relaxed),
            failures: self.failures.load(Ordering::Relaxed),
            received: self.received.load(Ordering::Relaxed),
            last_ok: last.ok,
            last_error: last.error.clone(),
        }
    }

    fn last(&self) -> MutexGuard<'_, Last> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
