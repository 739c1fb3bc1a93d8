//! Derives the status of a boot from its furthest stage. A machine does not report that its system runs, so the status covers
//! only what this server sent.

use jiff::{SignedDuration, Timestamp};

use super::attempt::Attempt;
use super::names;
use super::script_kind::ScriptKind;
use super::stage::Stage;
use super::state::State;
use super::step::Step;
use super::words::{bare, noun};
use crate::boot::role::Role;
use crate::units::bytes;

/// How long after its last step an incomplete boot counts as stuck. Longer than any normal pause: the power-on self-test of
/// a server is before its first step, and a link with spanning tree takes less than a minute.
const STUCK_AFTER: SignedDuration = SignedDuration::from_mins(3);

/// In bytes. Boot loaders have up to 8 MiB (GRUB with all its modules); a program that is larger is a unified kernel image
/// (UAPI.5), which requests nothing more.
const UNIFIED_KERNEL: u64 = 12 << 20;

/// The status of a boot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct AttemptStatus {
    pub(super) state: State,
    /// Since when.
    pub(super) since: Timestamp,
    /// The step that decided it: its role and its name.
    pub(super) step: Option<String>,
    /// The state in words.
    pub(super) note: String,
    /// Why, in the words of the part that failed.
    pub(super) reason: Option<String>,
    /// The advice to the operator.
    pub(super) advice: Option<String>,
}

/// A state with its words.
struct Verdict {
    state: State,
    step: Option<String>,
    note: String,
    reason: Option<String>,
    advice: Option<String>,
}

impl Verdict {
    fn new(state: State, note: impl Into<String>) -> Self {
        Self { state, step: None, note: note.into(), reason: None, advice: None }
    }

    fn at(self, role: Role, name: &str) -> Self {
        Self { step: Some(step_words(role, name)), ..self }
    }

    fn advise(self, advice: impl Into<String>) -> Self {
        Self { advice: Some(advice.into()), ..self }
    }

    /// Why, for a machine that waits for it.
    fn because(self, reason: &str) -> Self {
        Self { reason: Some(reason.to_owned()), ..self }
    }
}

impl AttemptStatus {
    /// The status of `attempt` at `now`, which is the last of its machine.
    pub(super) fn of(attempt: &Attempt, now: Timestamp) -> Self {
        Self::judge(attempt, attempt.is_quiet(STUCK_AFTER, now))
    }

    /// The status of an attempt after which the machine began another one.
    pub(super) fn of_past(attempt: &Attempt) -> Self {
        Self::judge(attempt, !attempt.is_open())
    }

    /// `silent`: nothing more is expected.
    fn judge(attempt: &Attempt, silent: bool) -> Self {
        let Verdict { state, step, note, reason, advice } = judge(attempt, silent);
        Self { state, since: attempt.last, step, note, reason, advice }
    }
}

/// Judges a boot by its furthest stage: what happened in an earlier one was made good by reaching this.
fn judge(attempt: &Attempt, silent: bool) -> Verdict {
    let stage = attempt.stage();
    let furthest = || attempt.counted().filter(|step| attempt.stage_of(step) == stage);
    let open = furthest().filter(|step| step.open > 0).last();
    let troubles = furthest().filter_map(|step| Some((step, step.troubles.worst()?)));
    let worst = troubles.max_by_key(|(step, trouble)| (trouble.severity(), step.last));
    match (open, worst) {
        (Some(open), Some(_)) => {
            Verdict::new(State::Booting, format!("{} {} is being sent", noun(open.role), open.name))
        }
        (None, Some((step, trouble))) => Verdict {
            state: State::Failed,
            step: Some(step_words(step.role, &trouble.name)),
            note: format!("{} {}: {}", noun(step.role), trouble.name, trouble.words()),
            reason: trouble.reason.clone(),
            advice: Some(trouble.advice(step.role)),
        },
        (open, None) => match (finished(attempt, stage, silent), open) {
            (Some(verdict), _) => verdict,
            (None, Some(open)) => {
                Verdict::new(State::Booting, format!("{} {} is being sent", noun(open.role), open.name))
            }
            (None, None) if silent => missed(attempt, stage),
            (None, None) => {
                Verdict::new(State::Booting, attempt.counted().max_by_key(|step| step.last).map_or(String::new(), sent))
            }
        },
    }
}

/// The verdict on a boot without failures that needs nothing more, or waits; `None` if its next step is still missing.
fn finished(attempt: &Attempt, stage: Stage, silent: bool) -> Option<Verdict> {
    if attempt.kind == Some(ScriptKind::Local) {
        return Some(Verdict::new(State::Done, "its script sends it to its local disks"));
    }
    match attempt.kind.as_ref().filter(|_| stage == Stage::Script) {
        Some(ScriptKind::Failed(reason)) => {
            let advice = "correct what the reason names; the machine requests its script again";
            let failed = Verdict::new(State::Failed, "its script could not be made").at(Role::Script, "");
            return Some(failed.because(reason).advise(advice));
        }
        Some(ScriptKind::Unknown) => {
            let note = "no [[host]] matches this machine, and there is no default profile";
            let advice = "add a [[host]] that matches it, or set `profile` in [defaults]";
            return Some(waiting(note, silent).advise(advice));
        }
        Some(ScriptKind::Waits(reason)) => return Some(waiting("nothing can be booted now", silent).because(reason)),
        Some(_) | None => {}
    }
    match plan(attempt) {
        Plan::Complete => Some(Verdict::new(State::Done, "everything that its script named was sent")),
        Plan::Parts(step) if silent && step.disk => Some(read_as_disk(step)),
        Plan::Parts(step) if silent => {
            let note = format!("it read parts of {}; only the machine knows whether it needs more", step.name);
            Some(Verdict::new(State::Quiet, note))
        }
        Plan::Missing(..) if silent && attempt.kind == Some(ScriptKind::Menu) => Some(match stage {
            Stage::Payload => Verdict::new(State::Done, "everything that it chose from its menu was sent"),
            _ => Verdict::new(State::Quiet, "its menu was sent, and it chose nothing that this server sends"),
        }),
        Plan::Nothing if attempt.kind == Some(ScriptKind::Elsewhere) && silent => {
            Some(Verdict::new(State::Quiet, "its script sent it to another server"))
        }
        Plan::Nothing if stage == Stage::Nbp => whole_system(attempt, silent),
        Plan::Nothing | Plan::Parts(_) | Plan::Missing(..) => None,
    }
}

/// The verdict on a machine whose firmware boots a whole system as its network boot program: a disk image (UEFI HTTP Boot), or
/// a program with a kernel in it.
fn whole_system(attempt: &Attempt, silent: bool) -> Option<Verdict> {
    let step = attempt.counted().filter(|step| step.role == Role::Nbp && step.completed > 0).last()?;
    let complete = step.is_complete();
    match names::is_image(&step.name) {
        true if complete => Some(Verdict::new(State::Done, format!("the disk image {} was sent", step.name))),
        true => silent.then(|| read_as_disk(step)),
        false if complete && silent && step.size >= Some(UNIFIED_KERNEL) => {
            Some(Verdict::new(State::Done, format!("the program {} was sent, which has a kernel in it", step.name)))
        }
        false => None,
    }
}

fn waiting(note: &str, silent: bool) -> Verdict {
    if silent {
        Verdict::new(State::Stuck, format!("{note}; it gave up asking"))
    } else {
        Verdict::new(State::Waiting, note)
    }
}

fn read_as_disk(image: &Step) -> Verdict {
    Verdict::new(State::Done, format!("it read {} of the disk image {}", bytes(image.bytes), image.name))
}

/// How much of what the script named was sent.
enum Plan<'a> {
    /// The script named nothing, or there was no script.
    Nothing,
    /// Everything was sent.
    Complete,
    /// Everything was sent, but only parts of this asset were requested.
    Parts(&'a Step),
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
            Some(step) if *role == Role::Asset && step.is_partly_read() => parts = Some(step),
            _ => return Plan::Missing(*role, name),
        }
    }
    parts.map_or(Plan::Complete, Plan::Parts)
}

fn find<'a>(attempt: &'a Attempt, name: &str) -> Option<&'a Step> {
    attempt.steps.iter().find(|step| step.role != Role::Dhcp && step.name == name)
}

fn sent(step: &Step) -> String {
    match step.role {
        Role::Dhcp => format!("DHCP offered it {}", step.name),
        role => format!("{} {} was sent", noun(role), step.name),
    }
}

/// The verdict on a boot without failures whose next step did not come.
fn missed(attempt: &Attempt, stage: Stage) -> Verdict {
    match plan(attempt) {
        Plan::Missing(role, name) => Verdict::new(State::Stuck, unsent(attempt, role, name)).at(role, name),
        _ if attempt.kind.is_some() || stage == Stage::Payload => {
            Verdict::new(State::Quiet, "no script of this server names the next file")
        }
        // A running system, or a program that this server does not know.
        _ if stage == Stage::Nbp && !attempt.counted().any(|step| step.role == Role::Nbp) => {
            Verdict::new(State::Quiet, "no script of this server names the next file")
        }
        _ => {
            let role = if stage == Stage::Dhcp { Role::Nbp } else { Role::Script };
            let unknown = attempt.steps.iter().filter(|step| !step.counts()).max_by_key(|step| step.last);
            match unknown {
                Some(step) if stage == Stage::Dhcp => {
                    let note = format!("it requested {}, which this server does not have", step.name);
                    let advice = "correct the boot file of the DHCP server, or add it to [tftp.files]";
                    Verdict::new(State::Stuck, note).at(step.role, &step.name).advise(advice)
                }
                _ => Verdict::new(State::Stuck, unsent(attempt, role, "")).at(role, ""),
            }
        }
    }
    .or_advise("look at the machine's screen, its power and its link")
}

impl Verdict {
    /// Adds the advice for a machine that is stuck, if there is none.
    fn or_advise(self, advice: &str) -> Self {
        match self.state {
            State::Stuck if self.advice.is_none() => self.advise(advice),
            _ => self,
        }
    }
}

/// Describes the last step and the missing one: `the kernel was sent, but no initrd was requested`.
fn unsent(attempt: &Attempt, role: Role, name: &str) -> String {
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

fn step_words(role: Role, name: &str) -> String {
    format!("{} {name}", role.as_str()).trim_end().to_owned()
}
