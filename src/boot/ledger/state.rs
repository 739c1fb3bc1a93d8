//! How an attempt to boot stands, as far as a boot server can know: a machine tells nobody that it runs.

use jiff::{SignedDuration, Timestamp};
use strum::{EnumString, IntoStaticStr, VariantArray, VariantNames};

use super::Role;
use super::attempt::Attempt;
use super::role::Stage;
use super::step::Step;
use crate::depot::Outcome;

/// After so long without a step, a machine that has not got everything is stuck. Long enough for the slowest that is
/// normal: a server's power-on self-test happens before its first step, and a link with spanning tree takes under a minute.
const STUCK_AFTER: SignedDuration = SignedDuration::from_mins(3);

/// How a boot stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr, EnumString, VariantArray, VariantNames)]
#[strum(serialize_all = "kebab-case")]
pub enum State {
    /// It is under way.
    Booting,
    /// Nobody named the machine and nothing is there for such machines: its script tells it to ask again.
    Waiting,
    /// Everything that its script named came whole.
    Done,
    /// It asks for nothing more, and only the machine knows whether it needs more: it read parts of an ISO, or its script
    /// sent it elsewhere.
    Quiet,
    /// Its last transfer went wrong, and nothing followed.
    Failed,
    /// A next step is due and has not come for three minutes.
    Stuck,
}

/// A state, since when, and in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Standing {
    pub(super) state: State,
    pub(super) since: Timestamp,
    pub(super) note: String,
}

impl State {
    /// The word for it in tables and JSON.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// How `attempt` stands at `now`.
pub(super) fn standing(attempt: &Attempt, now: Timestamp) -> Standing {
    let silent = attempt.is_quiet(STUCK_AFTER, now);
    let (state, note) = match plan(attempt) {
        _ if attempt.is_open() => (State::Booting, under_way(attempt)),
        Plan::Fulfilled => (State::Done, "everything that its script named came".to_owned()),
        left => match failure(attempt) {
            Some(note) => (State::Failed, note),
            None => unfinished(attempt, &left, silent),
        },
    };
    Standing { state, since: attempt.last, note }
}

/// How an attempt stands that lacks something, in which nothing went wrong and nothing is under way.
fn unfinished(attempt: &Attempt, left: &Plan<'_>, silent: bool) -> (State, String) {
    match *left {
        Plan::Nothing if attempt.scripted && attempt.profile.is_none() => {
            let state = if silent { State::Quiet } else { State::Waiting };
            (state, "nobody has named this machine, and there is no default profile".to_owned())
        }
        Plan::Nothing if silent && (attempt.scripted || attempt.stage == Stage::Payload) => {
            (State::Quiet, "no script of this server names what comes next".to_owned())
        }
        Plan::Parts(name) if silent => {
            (State::Quiet, format!("it read parts of {name}; only the machine knows whether it needs more"))
        }
        Plan::Missing(role, name) if silent => (State::Stuck, missed(attempt, role, name)),
        Plan::Nothing if silent => (State::Stuck, missed(attempt, next_role(attempt.stage), "")),
        _ => (State::Booting, attempt.steps.iter().max_by_key(|step| step.last).map_or(String::new(), came)),
    }
}

/// What is left of what the script named.
enum Plan<'a> {
    /// It named nothing, or there was none.
    Nothing,
    /// Nothing is left.
    Fulfilled,
    /// All came, but of this asset only parts were asked for.
    Parts(&'a str),
    /// This was not asked for, or did not come whole.
    Missing(Role, &'a str),
}

fn plan(attempt: &Attempt) -> Plan<'_> {
    if attempt.plan.is_empty() {
        return Plan::Nothing;
    }
    let mut parts = None;
    for (role, name) in &attempt.plan {
        match find(attempt, name) {
            Some(step) if step.is_whole() => {}
            Some(step) if *role == Role::Asset && step.is_partly_read() => parts = Some(name.as_str()),
            _ => return Plan::Missing(*role, name),
        }
    }
    parts.map_or(Plan::Fulfilled, Plan::Parts)
}

fn find<'a>(attempt: &'a Attempt, name: &str) -> Option<&'a Step> {
    attempt.steps.iter().find(|step| step.role != Role::Dhcp && step.name == name)
}

/// What went wrong last, if nothing followed it.
fn failure(attempt: &Attempt) -> Option<String> {
    let last = attempt.steps.iter().max_by_key(|step| step.last)?;
    let how = match last.outcome? {
        Outcome::Complete | Outcome::Probe => return None,
        // GRUB and installers look for many files that need not be there.
        Outcome::NotFound if last.role == Role::Asset && !attempt.plan.iter().any(|(_, name)| *name == last.name) => {
            return None;
        }
        // A machine lets go of an ISO in the middle of a range when its own system takes over.
        Outcome::Aborted if last.role == Role::Asset && last.completed > 0 => return None,
        Outcome::NotFound => "there is no such file here",
        Outcome::Aborted => "the machine let go of it",
        Outcome::Timeout => "the machine fell silent",
        Outcome::DigestMismatch => "its origin has other bytes than the catalog says",
        Outcome::OriginFailed => "its origin could not be read",
        Outcome::Refused => "the server refused it",
    };
    Some(format!("{} {}: {how}", noun(last.role), last.name))
}

fn under_way(attempt: &Attempt) -> String {
    let open = attempt.steps.iter().rev().find(|step| step.open > 0);
    open.map_or(String::new(), |step| format!("{} {} is on its way", noun(step.role), step.name))
}

fn came(step: &Step) -> String {
    match step.role {
        Role::Dhcp => format!("DHCP told it to boot {}", step.name),
        role => format!("{} {} came", noun(role), step.name),
    }
}

/// What came last, and what did not follow: `the kernel came, no initrd was asked for`.
fn missed(attempt: &Attempt, role: Role, name: &str) -> String {
    let begun = find(attempt, name).is_some();
    // The plan's own words say more than a look for a file that need not be there.
    let after =
        attempt.steps.iter().filter(|step| step.completed > 0 && step.name != name).max_by_key(|step| step.last);
    let what = if name.is_empty() { String::new() } else { format!(" ({name})") };
    let missing = if begun {
        format!("{}{what} did not come whole", noun(role))
    } else {
        format!("no {} was asked for{what}", bare(role))
    };
    match after.map(|step| step.role) {
        None => missing,
        Some(Role::Dhcp) => format!("DHCP told it what to boot, {missing}"),
        Some(after) => format!("{} came, {missing}", noun(after)),
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
        Role::Nbp => "firmware file",
        Role::Script => "script",
        Role::Kernel => "kernel",
        Role::Initrd => "initrd",
        Role::Asset => "asset",
        Role::File => "host's file",
    }
}

fn noun(role: Role) -> &'static str {
    match role {
        Role::Dhcp => "the DHCP answer",
        Role::Nbp => "the firmware file",
        Role::Script => "the script",
        Role::Kernel => "the kernel",
        Role::Initrd => "the initrd",
        Role::Asset => "the asset",
        Role::File => "the host's file",
    }
}
