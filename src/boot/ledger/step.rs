//! One step of a boot: a file that the machine was sent, in one or more requests.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::end_record::EndRecord;
use super::names;
use super::trouble::Trouble;
use super::troubles::Troubles;
use crate::boot::role::Role;
use crate::depot::{CacheState, Outcome};

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
    /// Whether the file is known: the catalog, a script or DHCP names it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) listed: bool,
    /// Whether machines read it as a disk, from which they need only parts.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) disk: bool,
    /// Failures that no later request made good.
    #[serde(default, skip_serializing_if = "Troubles::is_empty")]
    pub(super) troubles: Troubles,
    /// Microseconds in which at least one transfer was active.
    pub(super) busy: u64,
    /// Active transfers.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(super) open: u32,
    #[serde(skip)]
    busy_since: Option<Timestamp>,
    /// When the last request began that was answered with the whole file.
    #[serde(skip)]
    last_whole: Option<Timestamp>,
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
            listed: false,
            disk: false,
            troubles: Troubles::default(),
            busy: 0,
            open: 0,
            busy_since: None,
            last_whole: None,
        }
    }

    /// The memory that it takes, in bytes.
    pub(super) fn weight(&self) -> usize {
        size_of::<Self>() + self.name.len() + self.troubles.weight()
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

    /// Records the end of a transfer of `name` that began at `began`.
    pub(super) fn end(&mut self, name: &str, ending: &EndRecord, began: Timestamp, at: Timestamp) {
        self.touch(at);
        self.bytes += ending.bytes;
        self.size = ending.size.or(self.size);
        self.cache = self.cache.max(ending.cache);
        self.listed |= ending.listed;
        match ending.outcome {
            Outcome::Probe => {}
            Outcome::Complete => {
                self.completed += 1;
                // A response without bytes says that the client has the file already.
                let whole = ending.bytes == 0 || ending.size.is_none_or(|size| ending.bytes >= size);
                if whole {
                    self.last_whole = self.last_whole.max(Some(began));
                }
                self.troubles.remove_repeated(name, whole, began);
            }
            _ => self.fail(Trouble::new(name, ending, began, at), ending.listed),
        }
        // Firmware requests a file again while its first request still waits for it.
        let is_over = name == self.name && self.last_whole.is_some_and(|whole| whole > began);
        if self.outcome.is_none() || !(ending.outcome == Outcome::Probe || is_over) {
            self.outcome = Some(ending.outcome);
        }
        self.open = self.open.saturating_sub(1);
        if self.open == 0 {
            self.stop_clock(at);
        }
    }

    /// Records a failure, unless it needs no repeat. `listed`: whether its file is known, see [`Step::listed`].
    fn fail(&mut self, trouble: Trouble, listed: bool) {
        let is_own = trouble.name == self.name;
        let needless = match trouble.outcome {
            // Boot loaders and installers ask for many names that may exist.
            Outcome::NotFound => !(listed || (is_own && self.listed)),
            // A machine stops reading a disk when its own system takes over.
            Outcome::Aborted | Outcome::Timeout if is_own => self.is_complete() || (self.disk && self.completed > 0),
            // A range or a precondition that does not fit a file that the client already has.
            Outcome::Refused if is_own && self.role != Role::File => self.is_complete(),
            // Whether the machine has such a file already is not known. Only a host file has no parts.
            Outcome::Aborted | Outcome::Timeout => !is_own,
            Outcome::Refused if !is_own => names::role(&trouble.name) != Some(Role::File),
            _ => false,
        };
        let repeated = is_own && self.last_whole.is_some_and(|whole| whole > trouble.began);
        if !needless && !repeated {
            self.troubles.add(trouble);
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

    /// Closes all active transfers, because their ends will not be reported. `ending`: how they ended, if known.
    pub(super) fn close_all(&mut self, ending: Option<&EndRecord>) {
        if self.open == 0 {
            return;
        }
        self.open = 0;
        if let Some(ending) = ending {
            self.outcome = Some(ending.outcome);
            self.fail(Trouble::new(&self.name, ending, self.last, self.last), self.listed);
        }
        self.stop_clock(self.last);
    }

    /// Whether it says something about the boot. Another address may be any client. A file that was missing, and that neither the catalog nor a script nor DHCP
    /// names, does not.
    pub(super) fn counts(&self) -> bool {
        let is_known = self.outcome != Some(Outcome::NotFound) || self.completed > 0 || self.listed || self.open > 0;
        self.role != Role::Address && is_known
    }

    /// Merges another record of the same step.
    pub(super) fn merge(&mut self, other: &Self) {
        self.began = self.began.min(other.began);
        if other.last >= self.last {
            self.outcome = other.outcome.or(self.outcome);
        }
        self.troubles.merge(&other.troubles);
        self.last_whole = self.last_whole.max(other.last_whole);
        if let Some(whole) = self.last_whole {
            self.troubles.remove_before(&self.name, whole);
        }
        self.listed |= other.listed;
        self.disk |= other.disk;
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

#[cfg(test)]
mod tests {
    use super::*;

    fn at(micros: i64) -> Timestamp {
        Timestamp::from_microsecond(micros).unwrap()
    }

    fn ending(outcome: Outcome, bytes: u64) -> EndRecord {
        EndRecord { outcome, reason: None, listed: true, cache: Some(CacheState::Hit), bytes, size: Some(100) }
    }

    #[test]
    fn step_concurrent_ranges_count_time_once() {
        let mut step = Step::new(Role::Asset, "x.iso".to_owned(), at(0));
        step.begin(at(0));
        step.begin(at(500_000));
        step.end(
            "x",
            &EndRecord { cache: Some(CacheState::Miss), ..ending(Outcome::Complete, 30) },
            at(0),
            at(1_000_000),
        );
        assert!(step.is_partly_read() && step.open == 1);
        step.end("x", &ending(Outcome::Complete, 70), at(0), at(2_000_000));
        assert_eq!((step.requests, step.completed, step.bytes, step.rate()), (2, 2, 100, Some(50)));
        assert_eq!(step.cache, Some(CacheState::Miss), "one range was fetched from the origin");
        assert!(step.is_complete());
    }

    #[test]
    fn step_probe_does_not_replace_outcome() {
        let mut step = Step::new(Role::Nbp, "snponly.efi".to_owned(), at(0));
        step.begin(at(0));
        step.end("x", &ending(Outcome::Probe, 0), at(0), at(1));
        assert_eq!(step.outcome, Some(Outcome::Probe));
        step.begin(at(2));
        step.end("x", &ending(Outcome::Complete, 100), at(0), at(3));
        step.begin(at(4));
        step.end("x", &ending(Outcome::Probe, 0), at(0), at(5));
        assert_eq!((step.outcome, step.requests), (Some(Outcome::Complete), 3));
    }

    #[test]
    fn step_open_includes_bytes_sent() {
        let mut step = Step::new(Role::Kernel, "kernel".to_owned(), at(0));
        step.begin(at(0));
        let shown = step.at(50, at(500_000));
        assert_eq!((shown.bytes, shown.rate(), shown.open), (50, Some(100), 1));
        step.end("x", &ending(Outcome::Complete, 100), at(0), at(1_000_000));
        assert_eq!(step.at(70, at(9_000_000)), step, "a closed step ignores bytes of active transfers");
    }
}
