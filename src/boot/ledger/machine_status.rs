//! The status of machines and their boots, as a report for operators.

use std::net::IpAddr;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::attempt::Attempt;
use super::identity::Identity;
use super::index::{BytesSent, MachineRecord};
use super::key::MachineKey;
use super::state::State;
use super::status::AttemptStatus;
use super::step::Step;
use crate::boot::mac::Mac;
use crate::boot::role::Role;
use crate::depot::{CacheState, Outcome};

/// How long a machine that was not seen again counts in the metrics, and needs attention: one that was switched off or removed
/// would do so for ever.
pub(super) const COUNTED: SignedDuration = SignedDuration::from_hours(24);

/// The status of a machine and its last boot.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MachineStatus {
    /// The name of its host, if it is one.
    pub name: Option<String>,
    /// The MAC of its first network card, if known.
    pub mac: Option<Mac>,
    /// Its last address.
    pub address: Option<IpAddr>,
    /// Everything that it was seen with.
    pub identity: Identity,
    /// The profile of its last script, or of its host if it was not seen yet.
    pub profile: Option<String>,
    /// The time of its last event.
    pub seen: Option<Timestamp>,
    /// The state of its last boot; `None` if it was not seen yet.
    pub state: Option<State>,
    /// Whether an operator should look at it: its last boot failed, is stuck or waits, and it was seen within a day.
    pub needs_attention: bool,
    /// Since when.
    pub since: Option<Timestamp>,
    /// The state in words.
    pub note: Option<String>,
    /// Why, in the words of the part that failed.
    pub reason: Option<String>,
    /// The advice to the operator.
    pub advice: Option<String>,
    /// The last step of its last boot.
    pub last_step: Option<StepStatus>,
    /// Its boots, newest first; empty in lists.
    pub boots: Vec<BootStatus>,
}

/// One attempt of a machine to boot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BootStatus {
    /// Unique on this server.
    pub id: u64,
    /// Counts the boots of its machine, from 1.
    pub number: u64,
    /// The start of its first step.
    pub began: Timestamp,
    /// The time of its last event.
    pub last: Timestamp,
    /// Its state.
    pub state: State,
    /// Since when.
    pub since: Timestamp,
    /// The state in words.
    pub note: String,
    /// Why, in the words of the part that failed.
    pub reason: Option<String>,
    /// The advice to the operator.
    pub advice: Option<String>,
    /// The profile of its script.
    pub profile: Option<String>,
    /// The architecture in its DHCP request (RFC 4578 2.1).
    pub arch: Option<u16>,
    /// Payload bytes of all steps.
    pub bytes: u64,
    /// Its steps, ordered by their start.
    pub steps: Vec<StepStatus>,
}

/// One step of a boot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepStatus {
    /// Its role.
    pub role: Role,
    /// The name of the asset or script, or the boot file in the DHCP answer.
    pub name: String,
    /// Its start.
    pub began: Timestamp,
    /// The time of its last event.
    pub last: Timestamp,
    /// Active transfers.
    pub open: u32,
    /// Requests, including ranges and repeats.
    pub requests: u64,
    /// Payload bytes.
    pub bytes: u64,
    /// The size of the whole asset, if known.
    pub size: Option<u64>,
    /// How long transfers were active.
    pub took: Duration,
    /// Bytes per second in that time.
    pub rate: Option<u64>,
    /// The most expensive source of any of its bytes.
    pub cache: Option<CacheState>,
    /// The outcome of its last transfer.
    pub outcome: Option<Outcome>,
    /// Why its worst request failed that no later one made good.
    pub reason: Option<String>,
    /// The advice to the operator.
    pub advice: Option<String>,
}

impl MachineStatus {
    /// The status at `now`, without the boots.
    pub(super) fn of(key: &MachineKey, machine: &MachineRecord, sent: &BytesSent, now: Timestamp) -> Self {
        let last = machine.attempts.back();
        let status = last.map(|attempt| AttemptStatus::of(attempt, now));
        let step = last.and_then(|attempt| {
            let step = attempt.steps.iter().filter(|step| step.role != Role::Address).max_by_key(|step| step.last)?;
            Some(StepStatus::at(step, attempt, sent, now))
        });
        let (mac, address) = match key {
            MachineKey::Mac(mac) => (Some(*mac), machine.identity.address()),
            MachineKey::Address(address) => (None, Some(*address)),
        };
        Self {
            name: machine.host.clone(),
            mac,
            address,
            identity: machine.identity.clone(),
            profile: last.and_then(|attempt| attempt.profile.clone()),
            seen: last.map(|_| machine.last()),
            state: status.as_ref().map(|status| status.state),
            needs_attention: status.as_ref().is_some_and(|status| status.state.needs_attention())
                && last.is_some_and(|attempt| !attempt.is_quiet(COUNTED, now)),
            since: status.as_ref().map(|status| status.since),
            note: status.as_ref().map(|status| status.note.clone()),
            reason: status.as_ref().and_then(|status| status.reason.clone()),
            advice: status.and_then(|status| status.advice),
            last_step: step,
            boots: Vec::new(),
        }
    }

    /// The status at `now`, with the boots.
    pub(super) fn with_boots(key: &MachineKey, machine: &MachineRecord, sent: &BytesSent, now: Timestamp) -> Self {
        let last = machine.attempts.back().map(|attempt| attempt.id);
        let status = |attempt: &Attempt| {
            let is_last = Some(attempt.id) == last;
            if is_last { AttemptStatus::of(attempt, now) } else { AttemptStatus::of_past(attempt) }
        };
        let boot = |attempt| BootStatus::of(attempt, status(attempt), sent, now);
        let boots = machine.attempts.iter().rev().map(boot).collect();
        Self { boots, ..Self::of(key, machine, sent, now) }
    }
}

impl BootStatus {
    fn of(attempt: &Attempt, status: AttemptStatus, sent: &BytesSent, now: Timestamp) -> Self {
        let steps: Vec<_> = attempt.steps.iter().map(|step| StepStatus::at(step, attempt, sent, now)).collect();
        Self {
            id: attempt.id,
            number: attempt.number,
            began: attempt.began,
            last: attempt.last,
            state: status.state,
            since: status.since,
            note: status.note,
            reason: status.reason,
            advice: status.advice,
            profile: attempt.profile.clone(),
            arch: attempt.arch,
            bytes: steps.iter().map(|step| step.bytes).sum(),
            steps,
        }
    }
}

impl StepStatus {
    /// The status at `now`, including the bytes that active transfers have sent.
    fn at(step: &Step, attempt: &Attempt, sent: &BytesSent, now: Timestamp) -> Self {
        let sent = sent.get(&attempt.id).map_or(0, |sent| attempt.sent_of(step, sent));
        Self::of(&step.at(sent, now))
    }

    fn of(step: &Step) -> Self {
        Self {
            role: step.role,
            name: step.name.clone(),
            began: step.began,
            last: step.last,
            open: step.open,
            requests: step.requests,
            bytes: step.bytes,
            size: step.size,
            took: step.took(),
            rate: step.rate(),
            cache: step.cache,
            outcome: step.outcome,
            reason: step.troubles.worst().and_then(|trouble| trouble.reason.clone()),
            advice: step.troubles.worst().map(|trouble| trouble.advice(step.role)),
        }
    }
}
