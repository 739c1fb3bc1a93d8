//! One step of a boot: a file that the machine was sent, in one or more requests.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::boot::role::Role;
use crate::depot::{CacheState, Outcome};

/// The longest stored name, in bytes. Names of assets fit, and a client cannot fill the memory with its own.
const MAX_NAME: usize = 200;

/// One step. All ranges and repeated requests of one asset are one step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Step {
    pub(super) role: Role,
    pub(super) name: String,
    pub(super) began: Timestamp,
    /// The time of its last event.
    pub(super) last: Timestamp,
    /// Payload bytes of all its transfers.
    pub(super) bytes: u64,
    pub(super) requests: u64,
    /// Requests that were answered completely; each may have been for a range.
    pub(super) completed: u64,
    /// The size of the whole asset, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) size: Option<u64>,
    /// The most expensive source of any of its bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) cache: Option<CacheState>,
    /// The outcome of its last transfer; a probe counts only if there is nothing else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) outcome: Option<Outcome>,
    /// Microseconds in which at least one transfer was active.
    pub(super) busy: u64,
    /// Active transfers.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(super) open: u32,
    #[serde(skip)]
    busy_since: Option<Timestamp>,
}

/// The end of a transfer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct EndRecord {
    pub(super) outcome: Outcome,
    pub(super) cache: Option<CacheState>,
    pub(super) bytes: u64,
    /// The size of the whole asset, if known.
    pub(super) size: Option<u64>,
}

impl Step {
    /// A step without events.
    pub(super) fn new(role: Role, name: String, at: Timestamp) -> Self {
        Self {
            role,
            name,
            began: at,
            last: at,
            bytes: 0,
            requests: 0,
            completed: 0,
            size: None,
            cache: None,
            outcome: None,
            busy: 0,
            open: 0,
            busy_since: None,
        }
    }

    /// Records the start of a transfer.
    pub(super) fn begin(&mut self, at: Timestamp) {
        self.touch(at);
        self.requests += 1;
        if self.open == 0 {
            self.busy_since = Some(at);
        }
        self.open += 1;
    }

    /// Records the end of a transfer.
    pub(super) fn end(&mut self, ending: &EndRecord, at: Timestamp) {
        self.touch(at);
        self.bytes += ending.bytes;
        self.size = ending.size.or(self.size);
        self.cache = self.cache.max(ending.cache);
        if ending.outcome != Outcome::Probe || self.outcome.is_none() {
            self.outcome = Some(ending.outcome);
        }
        self.completed += u64::from(ending.outcome == Outcome::Complete);
        self.open = self.open.saturating_sub(1);
        if self.open == 0 {
            self.stop_clock(at);
        }
    }

    /// Records a DHCP answer. One that `confirms` an earlier answer is counted only if that one is unknown.
    pub(super) fn answer(&mut self, confirms: bool, at: Timestamp) {
        self.touch(at);
        if !confirms || self.requests == 0 {
            self.requests += 1;
            self.completed += 1;
        }
        self.outcome = Some(Outcome::Complete);
    }

    /// Closes all active transfers, because their ends will not be reported. `outcome`: how they ended, if known.
    pub(super) fn close_all(&mut self, outcome: Option<Outcome>) {
        if self.open > 0 {
            self.open = 0;
            self.outcome = outcome.or(self.outcome);
            self.stop_clock(self.last);
        }
    }

    /// Merges another record of the same step.
    pub(super) fn merge(&mut self, other: &Self) {
        self.began = self.began.min(other.began);
        if other.last >= self.last {
            self.outcome = other.outcome.or(self.outcome);
        }
        self.last = self.last.max(other.last);
        self.bytes += other.bytes;
        self.requests += other.requests;
        self.completed += other.completed;
        self.size = self.size.or(other.size);
        self.cache = self.cache.max(other.cache);
        self.busy += other.busy;
        self.open += other.open;
        self.busy_since = match (self.busy_since, other.busy_since) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
    }

    /// Whether the whole asset was sent; if its size is unknown, whether any request was answered completely.
    pub(super) fn is_complete(&self) -> bool {
        self.completed > 0 && self.size.is_none_or(|size| self.bytes >= size)
    }

    /// Whether ranges of it were sent, but not the whole asset. Machines read ISOs like this.
    pub(super) fn is_partly_read(&self) -> bool {
        self.completed > 0 && !self.is_complete()
    }

    /// Bytes per second while transfers were active.
    pub(super) fn rate(&self) -> Option<u64> {
        let rate = u128::from(self.bytes) * 1_000_000 / u128::from((self.busy > 0).then_some(self.busy)?);
        u64::try_from(rate).ok().filter(|rate| *rate > 0)
    }

    /// How long transfers were active.
    pub(super) fn took(&self) -> Duration {
        Duration::from_micros(self.busy)
    }

    /// Returns the step at `now`, including the `sent` bytes of its active transfers.
    pub(super) fn at(&self, sent: u64, now: Timestamp) -> Self {
        let mut step = self.clone();
        if step.open > 0 {
            step.bytes += sent;
            step.stop_clock(now.max(step.last));
        }
        step
    }

    fn touch(&mut self, at: Timestamp) {
        self.began = self.began.min(at);
        self.last = self.last.max(at);
    }

    fn stop_clock(&mut self, at: Timestamp) {
        let busy = self.busy_since.take().map_or(SignedDuration::ZERO, |since| at.duration_since(since));
        self.busy += u64::try_from(busy.as_micros()).unwrap_or(0);
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands out references")]
fn is_zero(open: &u32) -> bool {
    *open == 0
}

/// Cuts a name to the stored length.
pub(super) fn stored_name(name: &str) -> String {
    name[..name.floor_char_boundary(MAX_NAME)].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(micros: i64) -> Timestamp {
        Timestamp::from_microsecond(micros).unwrap()
    }

    fn ending(outcome: Outcome, bytes: u64) -> EndRecord {
        EndRecord { outcome, cache: Some(CacheState::Hit), bytes, size: Some(100) }
    }

    #[test]
    fn step_concurrent_ranges_count_time_once() {
        let mut step = Step::new(Role::Asset, "x.iso".to_owned(), at(0));
        step.begin(at(0));
        step.begin(at(500_000));
        step.end(&EndRecord { cache: Some(CacheState::Miss), ..ending(Outcome::Complete, 30) }, at(1_000_000));
        assert!(step.is_partly_read() && step.open == 1);
        step.end(&ending(Outcome::Complete, 70), at(2_000_000));
        assert_eq!((step.requests, step.completed, step.bytes, step.rate()), (2, 2, 100, Some(50)));
        assert_eq!(step.cache, Some(CacheState::Miss), "one range was fetched from the origin");
        assert!(step.is_complete());
    }

    #[test]
    fn step_probe_does_not_replace_outcome() {
        let mut step = Step::new(Role::Nbp, "snponly.efi".to_owned(), at(0));
        step.begin(at(0));
        step.end(&ending(Outcome::Probe, 0), at(1));
        assert_eq!(step.outcome, Some(Outcome::Probe));
        step.begin(at(2));
        step.end(&ending(Outcome::Complete, 100), at(3));
        step.begin(at(4));
        step.end(&ending(Outcome::Probe, 0), at(5));
        assert_eq!((step.outcome, step.requests), (Some(Outcome::Complete), 3));
    }

    #[test]
    fn step_open_includes_bytes_sent() {
        let mut step = Step::new(Role::Kernel, "kernel".to_owned(), at(0));
        step.begin(at(0));
        let shown = step.at(50, at(500_000));
        assert_eq!((shown.bytes, shown.rate(), shown.open), (50, Some(100), 1));
        step.end(&ending(Outcome::Complete, 100), at(1_000_000));
        assert_eq!(step.at(70, at(9_000_000)), step, "a closed step ignores bytes of active transfers");
    }

    #[test]
    fn stored_name_is_cut_between_characters() {
        assert_eq!(stored_name(&"ü".repeat(300)).len(), 200);
        assert_eq!(stored_name(&format!("a{}", "ü".repeat(300))).len(), 199);
    }
}
