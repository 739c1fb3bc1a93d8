//! One attempt of a machine to boot: its steps, and the rules that decide whether the next event belongs to it.

use std::collections::HashMap;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::stage::Stage;
use super::step::Step;
use crate::boot::role::Role;
use crate::depot::{Outcome, Protocol};

/// The most steps of one attempt. Further files are added up in the last step. Installers fetch a few dozen files.
pub(super) const MAX_STEPS: usize = 32;
/// The name of the step for further files.
const OTHERS: &str = "(others)";
/// The longest pause within a stage. Firmware and iPXE retry within seconds, and a restarted machine needs longer than this
/// to request its network boot program.
const PAUSE: SignedDuration = SignedDuration::from_mins(1);
/// After a pause of this length, any event starts a new attempt.
pub(super) const MAX_PAUSE: SignedDuration = SignedDuration::from_hours(1);
/// The names of scripts in transfers. The first [`ENTRIES`] are entry scripts.
const SCRIPTS: [&str; 4] = ["boot.ipxe", "autoexec.ipxe", "ipxe", "grub.cfg"];
const ENTRIES: usize = 2;

/// One attempt to boot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Attempt {
    /// Unique in this ledger.
    pub(super) id: u64,
    pub(super) began: Timestamp,
    /// The time of its last event.
    pub(super) last: Timestamp,
    /// The latest stage that it reached.
    pub(super) stage: Stage,
    /// Whether a script was made for it.
    pub(super) scripted: bool,
    /// The profile of that script.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) profile: Option<String>,
    /// The architecture in its DHCP request (RFC 4578 2.1).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) arch: Option<u16>,
    /// The files that its last script named.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) plan: Vec<(Role, String)>,
    /// Ordered by their start.
    pub(super) steps: Vec<Step>,
}

impl Attempt {
    /// An attempt that starts at `at`.
    pub(super) fn new(id: u64, at: Timestamp) -> Self {
        Self {
            id,
            began: at,
            last: at,
            stage: Stage::Dhcp,
            scripted: false,
            profile: None,
            arch: None,
            plan: Vec::new(),
            steps: Vec::new(),
        }
    }

    /// Returns the role of a transfer of `name` in this attempt.
    pub(super) fn role_of(&self, name: &str, protocol: Protocol, at: Timestamp) -> Role {
        if let Some((role, _)) = self.plan.iter().find(|(_, planned)| planned == name) {
            return *role;
        }
        if let Some(role) = by_name(name) {
            return role;
        }
        let known = self.steps.iter().find(|step| step.role != Role::Dhcp && step.name == name);
        if let Some(step) = known {
            return step.role;
        }
        let tftp = protocol == Protocol::Tftp;
        let is_nbp = if self.stage < Stage::Script {
            let first = !self.steps.iter().any(|step| step.role == Role::Nbp);
            self.was_offered(name) || (tftp && first)
        } else {
            // After a pause, the firmware is running again and requests another file than before.
            tftp && self.is_quiet(PAUSE, at)
        };
        if is_nbp { Role::Nbp } else { Role::Asset }
    }

    /// Whether a step of this role belongs to this attempt. Repeated steps do; a return to an earlier stage does not.
    pub(super) fn continues_with(&self, role: Role, name: &str, at: Timestamp) -> bool {
        if self.is_quiet(MAX_PAUSE, at) {
            return false;
        }
        match Stage::of(role) {
            // iPXE sends its own DHCP request after the firmware has loaded it.
            Stage::Dhcp => self.stage < Stage::Nbp || (self.stage == Stage::Nbp && !self.is_quiet(PAUSE, at)),
            Stage::Nbp => {
                let mut nbps = self.steps.iter().filter(|step| step.role == Role::Nbp);
                self.stage < Stage::Script && nbps.all(|step| step.open > 0 || at.duration_since(step.last) <= PAUSE)
            }
            Stage::Script => self.stage <= Stage::Script || (!is_entry(name) && !self.is_quiet(PAUSE, at)),
            Stage::Payload => true,
        }
    }

    /// Returns the step of this role and name, and adds it if it is missing.
    pub(super) fn step(&mut self, role: Role, name: &str, at: Timestamp) -> &mut Step {
        self.touch(Stage::of(role), at);
        let found = self.steps.iter().position(|step| step.role == role && step.name == name);
        let index = match found {
            Some(index) => index,
            None if self.steps.len() + 1 < MAX_STEPS => self.add(Step::new(role, name.to_owned(), at)),
            None => match self.steps.iter().position(|step| step.name == OTHERS) {
                Some(others) => others,
                None => self.add(Step::new(Role::Asset, OTHERS.to_owned(), at)),
            },
        };
        &mut self.steps[index]
    }

    /// Returns the step of this role and name; `None` if it is missing or counted among the others.
    pub(super) fn find_step(&mut self, role: Role, name: &str) -> Option<&mut Step> {
        self.steps.iter_mut().find(|step| step.role == role && step.name == name)
    }

    /// Returns the bytes in `sent` that belong to `step`. A step may have changed its role since its transfer began.
    pub(super) fn sent_of(&self, step: &Step, sent: &HashMap<(Role, String), u64>) -> u64 {
        let find = |role: Role, name: &str| self.steps.iter().find(|step| step.role == role && step.name == name);
        let belongs = |(role, name): &(Role, String)| match find(*role, name) {
            Some(found) => std::ptr::eq(found, step),
            None => step.name == OTHERS,
        };
        sent.iter().filter(|(named, _)| belongs(named)).map(|(_, bytes)| bytes).sum()
    }

    /// Records a script.
    pub(super) fn record_script(&mut self, profile: Option<String>, plan: Vec<(Role, String)>, at: Timestamp) {
        self.touch(Stage::Script, at);
        self.scripted = true;
        self.profile = profile;
        self.plan = plan;
        self.plan.truncate(MAX_STEPS);
        // Assets that were fetched before the script named them get their role now.
        for step in self.steps.iter_mut().filter(|step| step.role == Role::Asset) {
            if let Some((role, _)) = self.plan.iter().find(|(_, name)| *name == step.name) {
                step.role = *role;
            }
        }
    }

    /// Merges another record of the same attempt.
    pub(super) fn merge(&mut self, other: Self) {
        self.touch(other.stage, other.began);
        self.last = self.last.max(other.last);
        if other.scripted && !self.scripted {
            (self.scripted, self.profile, self.plan) = (true, other.profile, other.plan);
        }
        self.arch = self.arch.or(other.arch);
        for step in other.steps {
            let own = self.step(step.role, &step.name, step.began);
            own.merge(&step);
        }
    }

    /// Closes all active transfers; see [`Step::close_all`].
    pub(super) fn close_all(&mut self, outcome: Option<Outcome>) {
        for step in &mut self.steps {
            step.close_all(outcome);
        }
    }

    /// Its share of the memory limit: its steps and planned names.
    pub(super) fn weight(&self) -> usize {
        self.steps.len() + self.plan.len()
    }

    /// Whether any of its transfers is active.
    pub(super) fn is_open(&self) -> bool {
        self.steps.iter().any(|step| step.open > 0)
    }

    /// Whether it has had no events and no active transfers for longer than `pause`.
    pub(super) fn is_quiet(&self, pause: SignedDuration, at: Timestamp) -> bool {
        !self.is_open() && at.duration_since(self.last) > pause
    }

    /// Whether DHCP offered this file: as a path, or as a URL that ends with it.
    fn was_offered(&self, name: &str) -> bool {
        let mut offered = self.steps.iter().filter(|step| step.role == Role::Dhcp);
        offered.any(|step| step.name.strip_suffix(name).is_some_and(|rest| rest.is_empty() || rest.ends_with('/')))
    }

    fn add(&mut self, step: Step) -> usize {
        let index = self.steps.partition_point(|other| other.began <= step.began);
        self.steps.insert(index, step);
        index
    }

    fn touch(&mut self, stage: Stage, at: Timestamp) {
        self.stage = self.stage.max(stage);
        self.began = self.began.min(at);
        self.last = self.last.max(at);
    }
}

/// Returns the role of names that imply one: scripts and host files.
pub(super) fn by_name(name: &str) -> Option<Role> {
    if SCRIPTS.contains(&name) { Some(Role::Script) } else { name.starts_with("hosts/").then_some(Role::File) }
}

fn is_entry(name: &str) -> bool {
    SCRIPTS[..ENTRIES].contains(&name)
}
