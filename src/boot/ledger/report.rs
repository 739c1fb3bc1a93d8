//! One log line for each boot, when its verdict is clear.

use std::fmt;

use jiff::{SignedDuration, Timestamp};
use tracing::{info, warn};

use super::attempt::Attempt;
use super::index::MachineRecord;
use super::key::MachineKey;
use super::reported::Reported;
use super::state::State;
use super::status::AttemptStatus;

/// How long a failed boot must be silent before its verdict is logged: firmware and boot loaders repeat a request that
/// failed within seconds.
const RETRIES: SignedDuration = SignedDuration::from_secs(10);

/// The log line of a boot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Report {
    pub(super) attempt: u64,
    pub(super) reported: Reported,
    host: Option<String>,
    mac: Option<String>,
    address: Option<String>,
    boot: u64,
    profile: Option<String>,
    status: AttemptStatus,
}

/// Returns the lines that are due for a machine at `now`: of boots whose verdict is clear, and not in the log yet.
pub(super) fn due(key: &MachineKey, machine: &MachineRecord, now: Timestamp) -> Vec<Report> {
    let count = machine.attempts.len();
    let due = machine.attempts.iter().enumerate().filter_map(|(index, attempt)| {
        if attempt.reported.is_some_and(|reported| reported.last >= attempt.last) {
            return None;
        }
        let status = verdict(attempt, index + 1 == count, now)?;
        // An installer that goes on fetching files is done once.
        if attempt.reported.is_some_and(|reported| reported.state == status.state) {
            return None;
        }
        let (mac, address) = match key {
            MachineKey::Mac(mac) => (Some(mac.to_string()), machine.identity.address()),
            MachineKey::Address(address) => (None, Some(*address)),
        };
        Some(Report {
            attempt: attempt.id,
            reported: Reported { state: status.state, last: attempt.last },
            host: machine.host.clone(),
            mac,
            address: address.map(|address| address.to_string()),
            boot: attempt.number,
            profile: attempt.profile.clone(),
            status,
        })
    });
    due.collect()
}

/// The status of a boot if it is clear.
fn verdict(attempt: &Attempt, is_last: bool, now: Timestamp) -> Option<AttemptStatus> {
    if !is_last {
        return (!attempt.is_open()).then(|| AttemptStatus::of_past(attempt));
    }
    let status = AttemptStatus::of(attempt, now);
    let clear = match status.state {
        State::Booting | State::Waiting => false,
        State::Failed => attempt.is_quiet(RETRIES, now),
        State::Done | State::Quiet | State::Stuck => true,
    };
    clear.then_some(status)
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.event())?;
        for word in [&self.host, &self.mac].into_iter().flatten() {
            write!(f, " {word}")?;
        }
        write!(f, " #{}", self.boot)?;
        self.status.step.iter().try_for_each(|step| write!(f, " {step}"))
    }
}

impl Report {
    /// The name of the event.
    pub(super) fn event(&self) -> &'static str {
        match self.status.state {
            State::Done => "boot done",
            State::Failed => "boot failed",
            State::Stuck => "boot stuck",
            State::Quiet | State::Booting | State::Waiting => "boot ended",
        }
    }

    /// Writes the line.
    pub(super) fn log(&self) {
        let Self { host, mac, address, boot, profile, status, .. } = self;
        let AttemptStatus { note, step, reason, advice, .. } = status;
        // tracing's events have a fixed level and message each.
        macro_rules! line {
            ($level:ident, $event:literal) => {
                $level!(target: "bootdepot::boot", host, mac, boot, address, profile, step, note, reason, advice, $event)
            };
        }
        match self.event() {
            "boot done" => line!(info, "boot done"),
            "boot failed" => line!(warn, "boot failed"),
            "boot stuck" => line!(warn, "boot stuck"),
            _ => line!(info, "boot ended"),
        }
    }
}
