//! One step of a boot: a thing that the machine was given, however many requests it took.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::Role;
use crate::depot::{CacheState, Outcome};

/// Bytes of a name that the ledger keeps: the names of assets fit, and a client cannot fill memory with its own.
const NAME_KEPT: usize = 200;

/// One step. Many ranges of one asset, or repeats, are one step that adds up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Step {
    pub(super) role: Role,
    pub(super) name: String,
    pub(super) began: Timestamp,
    /// When anything of it last happened.
    pub(super) last: Timestamp,
    /// Payload bytes of all its transfers.
    pub(super) bytes: u64,
    pub(super) requests: u64,
    /// Requests that were served in full; each may have been for a part.
    pub(super) completed: u64,
    /// The whole asset's size, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) size: Option<u64>,
    /// The farthest that any of its bytes had to be fetched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) cache: Option<CacheState>,
    /// How its last transfer ended that was more than a probe.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) outcome: Option<Outcome>,
    /// Microseconds in which at least one transfer was under way.
    pub(super) busy: u64,
    /// Transfers under way.
    #[serde(default, skip_serializing_if = "is_none_open")]
    pub(super) open: u32,
    #[serde(skip)]
    busy_since: Option<Timestamp>,
}

/// What is known of a transfer's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ending {
    pub(super) outcome: Outcome,
    pub(super) cache: Option<CacheState>,
    pub(super) bytes: u64,
    /// The whole asset's size, where it is known.
    pub(super) size: Option<u64>,
}

impl Step {
    /// A step that nothing happened in yet.
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

    /// One more transfer of it begins.
    pub(super) fn begin(&mut self, at: Timestamp) {
        self.touch(at);
        self.requests += 1;
        if self.open == 0 {
            self.busy_since = Some(at);
        }
        self.open += 1;
    }

    /// One of its transfers ended.
    pub(super) fn end(&mut self, ending: &Ending, at: Timestamp) {
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
            self.rest(at);
        }
    }

    /// An answer that is made in one go. One that only `confirms` another counts where that one is not known.
    pub(super) fn answer(&mut self, confirms: bool, at: Timestamp) {
        self.touch(at);
        if !confirms || self.requests == 0 {
            self.requests += 1;
            self.completed += 1;
        }
        self.outcome = Some(Outcome::Complete);
    }

    /// Takes it that no transfer is under way, because no end of one will be heard of; `outcome` is how they ended, if
    /// anybody knows.
    pub(super) fn cut(&mut self, outcome: Option<Outcome>) {
        if self.open > 0 {
            self.open = 0;
            self.outcome = outcome.or(self.outcome);
            self.rest(self.last);
        }
    }

    /// Adds another record of the same step.
    pub(super) fn absorb(&mut self, other: &Self) {
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

    /// Whether as many bytes went out as the whole has, or, where nobody knows its size, some request was served in full.
    pub(super) fn is_whole(&self) -> bool {
        self.completed > 0 && self.size.is_none_or(|size| self.bytes >= size)
    }

    /// Whether parts of it were read with success, and not all: what a machine does with an ISO.
    pub(super) fn is_partly_read(&self) -> bool {
        self.completed > 0 && !self.is_whole()
    }

    /// Bytes a second while transfers were under way.
    pub(super) fn rate(&self) -> Option<u64> {
        let rate = u128::from(self.bytes) * 1_000_000 / u128::from((self.busy > 0).then_some(self.busy)?);
        u64::try_from(rate).ok().filter(|rate| *rate > 0)
    }

    /// How long transfers were under way.
    pub(super) fn took(&self) -> Duration {
        Duration::from_micros(self.busy)
    }

    /// The same as it stands at `now`, when its transfers under way have sent `sent` bytes.
    pub(super) fn so_far(&self, sent: u64, now: Timestamp) -> Self {
        let mut step = self.clone();
        if step.open > 0 {
            step.bytes += sent;
            step.rest(now.max(step.last));
        }
        step
    }

    fn touch(&mut self, at: Timestamp) {
        self.began = self.began.min(at);
        self.last = self.last.max(at);
    }

    fn rest(&mut self, at: Timestamp) {
        let busy = self.busy_since.take().map_or(SignedDuration::ZERO, |since| at.duration_since(since));
        self.busy += u64::try_from(busy.as_micros()).unwrap_or(0);
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands out references")]
fn is_none_open(open: &u32) -> bool {
    *open == 0
}

/// A name as the ledger keeps it.
pub(super) fn kept(name: &str) -> String {
    name[..name.floor_char_boundary(NAME_KEPT)].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(micros: i64) -> Timestamp {
        Timestamp::from_microsecond(micros).unwrap()
    }

    fn ending(outcome: Outcome, bytes: u64) -> Ending {
        Ending { outcome, cache: Some(CacheState::Hit), bytes, size: Some(100) }
    }

    #[test]
    fn ranges_that_overlap_in_time_are_one_step_whose_rate_counts_the_time_once() {
        let mut step = Step::new(Role::Asset, "x.iso".to_owned(), at(0));
        step.begin(at(0));
        step.begin(at(500_000));
        step.end(&Ending { cache: Some(CacheState::Miss), ..ending(Outcome::Complete, 30) }, at(1_000_000));
        assert!(step.is_partly_read() && step.open == 1);
        step.end(&ending(Outcome::Complete, 70), at(2_000_000));
        assert_eq!((step.requests, step.completed, step.bytes, step.rate()), (2, 2, 100, Some(50)));
        assert_eq!(step.cache, Some(CacheState::Miss), "some of it had to be fetched");
        assert!(step.is_whole());
    }

    #[test]
    fn a_size_probe_is_no_outcome_of_its_own() {
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
    fn a_step_under_way_shows_what_was_sent_by_now_and_how_fast() {
        let mut step = Step::new(Role::Kernel, "kernel".to_owned(), at(0));
        step.begin(at(0));
        let shown = step.so_far(50, at(500_000));
        assert_eq!((shown.bytes, shown.rate(), shown.open), (50, Some(100), 1));
        step.end(&ending(Outcome::Complete, 100), at(1_000_000));
        assert_eq!(step.so_far(70, at(9_000_000)), step, "what ended is told by its end");
    }

    #[test]
    fn a_name_is_cut_between_characters() {
        assert_eq!(kept(&"ü".repeat(300)).len(), 200);
        assert_eq!(kept(&format!("a{}", "ü".repeat(300))).len(), 199);
    }
}
