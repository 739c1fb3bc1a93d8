//! Health of each origin: counters and the last failure, for operators. It makes no decisions.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::error::OriginError;

/// How an origin fared since the server started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OriginView {
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
    pub last_error: Option<OriginTrouble>,
}

/// A failure of an origin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OriginTrouble {
    /// When.
    pub at: Timestamp,
    /// What was wrong; it holds no secret.
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
    error: Option<OriginTrouble>,
}

impl Health {
    /// Returns the record of the origin with this label.
    pub(super) fn record_for(&self, label: &str) -> Arc<Record> {
        let mut records = self.records();
        match records.get(label) {
            Some(record) => Arc::clone(record),
            None => Arc::clone(records.entry(label.to_owned()).or_default()),
        }
    }

    /// Returns a view of each record, sorted by label.
    pub(super) fn list(&self) -> Vec<OriginView> {
        self.records().iter().map(|(label, record)| record.view(label)).collect()
    }

    fn records(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Record>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Record {
    /// Records the result of a read request.
    pub(super) fn note_result<T>(&self, result: &Result<T, OriginError>) {
        self.requests.fetch_add(1, Ordering::Relaxed);
        match result {
            Ok(_) => self.last().ok = Some(Timestamp::now()),
            Err(error) => self.note_failure(error),
        }
    }

    /// Records received bytes of a body.
    pub(super) fn note_received(&self, bytes: u64) {
        self.received.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Records a failed read.
    pub(super) fn note_failure(&self, error: &OriginError) {
        self.failures.fetch_add(1, Ordering::Relaxed);
        self.last().error = Some(OriginTrouble { at: Timestamp::now(), message: error.to_string() });
    }

    fn view(&self, label: &str) -> OriginView {
        let last = self.last();
        OriginView {
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
