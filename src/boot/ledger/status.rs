//! Derives the status of a boot from its steps. A machine does not report that its system runs, so the status covers only
//! what this server sent.

use jiff::{SignedDuration, Timestamp};

use super::attempt::Attempt;
use super::stage::Stage;
use super::state::State;
use super::step::Step;
use crate::boot::role::Role;
use crate::depot::Outcome;

/// How long after its last step an incomplete boot counts as stuck. Longer than any normal pause: the power-on self-test of
/// a server is before its first step, and a link with spanning tree takes less than a minute.
const STUCK_AFTER: SignedDuration = SignedDuration::from_mins(3);

/// The status of a boot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct AttemptStatus {
    pub(super) state: State,
    /// Since when.
    pub(super) since: Timestamp,
    /// The state in words.
    pub(super) note: String,
}

impl AttemptStatus {
    /// The status of `attempt` at `now`.
    pub(super) fn of(attempt: &Attempt, now: Timestamp) -> Self {
        let silent = attempt.is_quiet(STUCK_AFTER, now);
        let (state, note) = match plan(attempt) {
            _ if attempt.is_open() => (State::Booting, transferring(attempt)),
            Plan::Complete => (State::Done, "everything that its script named was sent".to_owned()),
            incomplete => match failure(attempt) {
                Some(note) => (State::Failed, note),
                None => unfinished(attempt, &incomplete, silent),
            },
        };
        Self { state, since: attempt.last, note }
    }
}

/// The status of an incomplete attempt without a failure or an open transfer.
fn unfinished(attempt: &Attempt, plan: &Plan<'_>, silent: bool) -> (State, String) {
    match *plan {
        Plan::Nothing if attempt.scripted && attempt.profile.is_none() => {
            let state = if silent { State::Quiet } else { State::Waiting };
            (state, "no [[host]] matches this machine, and there is no default profile".to_owned())
        }
        Plan::Nothing if silent && (attempt.scripted || attempt.stage == Stage::Payload) => {
            (State::Quiet, "no script of this server names the next file".to_owned())
        }
        Plan::Parts(name) if silent => {
            (State::Quiet, format!("it read parts of {name}; only the machine knows whether it needs more"))
        }
        Plan::Missing(role, name) if silent => (State::Stuck, missed(attempt, role, name)),
        Plan::Nothing if silent => (State::Stuck, missed(attempt, next_role(attempt.stage), "")),
        _ => (State::Booting, attempt.steps.iter().max_by_key(|step| step.last).map_or(String::new(), sent)),
    }
}

/// How much of what the script named was sent.
enum Plan<'a> {
    /// The script named nothing, or there was no script.
    Nothing,
    /// Everything was sent.
    Complete,
    /// Everything was sent, but only parts of this asset were requested.
    Parts(&'a str),
    /// This was not requested, or not sent completely.
    Missing(Role, &'a str),
}

fn plan(attempt: &Attempt) -> Plan<'_> {
    if attempt.plan.is_empty() {
        return Plan::Nothing;
    }
    let mut parts = None;
    for (role, name) in &attempt.plan {
        match find(attempt, name) {
            Some(step) if step.is_complete() => {}
            Some(step) if *role == Role::Asset && step.is_partly_read() => parts = Some(name.as_str()),
            _ => return Plan::Missing(*role, name),
        }
    }
    parts.map_or(Plan::Complete, Plan::Parts)
}

fn find<'a>(attempt: &'a Attempt, name: &str) -> Option<&'a Step> {
    attempt.steps.iter().find(|step| step.role != Role::Dhcp && step.name == name)
}

/// Describes the failure of the last step; `None` if it did not fail.
fn failure(attempt: &Attempt) -> Option<String> {
    let last = attempt.steps.iter().max_by_key(|step| step.last)?;
    let how = match last.outcome? {
        Outcome::Complete | Outcome::Probe => return None,
        // GRUB and installers probe for many optional files.
        Outcome::NotFound if last.role == Role::Asset && !attempt.plan.iter().any(|(_, name)| *name == last.name) => {
            return None;
        }
        // A machine aborts a range of an ISO when its own system takes over.
        Outcome::Aborted if last.role == Role::Asset && last.completed > 0 => return None,
        Outcome::NotFound => "this server has no such file",
        Outcome::Aborted => "the machine aborted the transfer",
        Outcome::Timeout => "the machine stopped responding",
        Outcome::DigestMismatch => "the bytes from its origin do not match the digest in the catalog",
        Outcome::OriginFailed => "its origin could not be read",
        Outcome::Refused => "the server refused it",
    };
    Some(format!("{} {}: {how}", noun(last.role), last.name))
}

fn transferring(attempt: &Attempt) -> String {
    let open = attempt.steps.iter().rev().find(|step| step.open > 0);
    open.map_or(String::new(), |step| format!("{} {} is being sent", noun(step.role), step.name))
}

fn sent(step: &Step) -> String {
    match step.role {
        Role::Dhcp => format!("DHCP offered it {}", step.name),
        role => format!("{} {} was sent", noun(role), step.name),
    }
}

/// Describes the last step and the missing one: `the kernel was sent, but no initrd was requested`.
fn missed(attempt: &Attempt, role: Role, name: &str) -> String {
    let begun = find(attempt, name).is_some();
    let after =
        attempt.steps.iter().filter(|step| step.completed > 0 && step.name != name).max_by_key(|step| step.last);
    let what = if name.is_empty() { String::new() } else { format!(" ({name})") };
    let missing = if begun {
        format!("{}{what} was not sent completely", noun(role))
    } else {
        format!("no {} was requested{what}", bare(role))
    };
    match after.map(|step| step.role) {
        None => missing,
        Some(Role::Dhcp) => format!("DHCP offered a boot file, but {missing}"),
        Some(after) => format!("{} was sent, but {missing}", noun(after)),
    }
}

fn next_role(stage: Stage) -> Role {
    match stage {
        Stage::Dhcp => Role::Nbp,
        Stage::Nbp | Stage::Script | Stage::Payload => Role::Script,
    }
}

fn bare(role: Role) -> &'static str {
    match role {
        Role::Dhcp => "DHCP answer",
        Role::Nbp => "network boot program",
        Role::Script => "script",
        Role::Kernel => "kernel",
        Role::Initrd => "initrd",
        Role::Asset => "asset",
        Role::File => "host file",
    }
}

fn noun(role: Role) -> &'static str {
    match role {
        Role::Dhcp => "the DHCP answer",
        Role::Nbp => "the network boot program",
        Role::Script => "the script",
        Role::Kernel => "the kernel",
        Role::Initrd => "the initrd",
        Role::Asset => "the asset",
        Role::File => "the host file",
    }
}
