//! One attempt of a machine to boot: its steps, and what of the machine's next doing is part of it.

use std::collections::HashMap;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::Role;
use super::role::Stage;
use super::step::Step;
use crate::depot::{Outcome, Protocol};

/// Steps of one attempt; what comes to more is added up in the last. Installers ask for a few dozen things.
pub(super) const MAX_STEPS: usize = 32;
/// The name of the step that stands for those.
const OTHERS: &str = "(others)";
/// How long a machine may be silent and still be at the same stage: firmware and iPXE repeat within seconds, and a restart
/// takes longer than this to come back to the firmware file.
const PAUSE: SignedDuration = SignedDuration::from_mins(1);
/// After so much silence whatever a machine does is a new attempt.
pub(super) const AFRESH: SignedDuration = SignedDuration::from_hours(1);
/// Scripts by the names under which transfers tell of them; the first two are where a boot enters.
const SCRIPTS: [&str; 4] = ["boot.ipxe", "autoexec.ipxe", "ipxe", "grub.cfg"];
const ENTRIES: usize = 2;

/// One attempt to boot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Attempt {
    /// Tells it from every other of this ledger.
    pub(super) id: u64,
    pub(super) began: Timestamp,
    /// When anything of it last happened.
    pub(super) last: Timestamp,
    /// The farthest that it came.
    pub(super) stage: Stage,
    /// Whether a script was made for it.
    pub(super) scripted: bool,
    /// The profile of that script.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) profile: Option<String>,
    /// The architecture that it told DHCP (RFC 4578 2.1).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) arch: Option<u16>,
    /// What its last script named.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) plan: Vec<(Role, String)>,
    /// In the order in which they began.
    pub(super) steps: Vec<Step>,
}

impl Attempt {
    /// An attempt that begins now.
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

    /// What a transfer of `name` would be for in this attempt.
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
        let firmware = if self.stage < Stage::Script {
            let first = !self.steps.iter().any(|step| step.role == Role::Nbp);
            self.was_offered(name) || (tftp && first)
        } else {
            // After a pause it is at work again, with another file than before.
            tftp && self.is_quiet(PAUSE, at)
        };
        if firmware { Role::Nbp } else { Role::Asset }
    }

    /// Whether a step of this role belongs to this attempt: mere repeats do, and going back to an earlier stage does not.
    pub(super) fn goes_on(&self, role: Role, name: &str, at: Timestamp) -> bool {
        if self.is_quiet(AFRESH, at) {
            return false;
        }
        match role.stage() {
            // iPXE asks DHCP again after the firmware has loaded it.
            Stage::Dhcp => self.stage < Stage::Nbp || (self.stage == Stage::Nbp && !self.is_quiet(PAUSE, at)),
            Stage::Nbp => {
                let mut nbps = self.steps.iter().filter(|step| step.role == Role::Nbp);
                self.stage < Stage::Script && nbps.all(|step| step.open > 0 || at.duration_since(step.last) <= PAUSE)
            }
            Stage::Script => self.stage <= Stage::Script || (!is_entry(name) && !self.is_quiet(PAUSE, at)),
            Stage::Payload => true,
        }
    }

    /// The step of this role and name, made where there is none.
    pub(super) fn step(&mut self, role: Role, name: &str, at: Timestamp) -> &mut Step {
        self.touch(role.stage(), at);
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

    /// The step of this role and name, where it is one of its own.
    pub(super) fn own_step(&mut self, role: Role, name: &str) -> Option<&mut Step> {
        self.steps.iter_mut().find(|step| step.role == role && step.name == name)
    }

    /// What of `sent` is of this step of its own. What a step was called when its transfer began may be another name now.
    pub(super) fn sent_of(&self, step: &Step, sent: &HashMap<(Role, String), u64>) -> u64 {
        let own = |role: Role, name: &str| self.steps.iter().find(|step| step.role == role && step.name == name);
        let mine = |(role, name): &(Role, String)| match own(*role, name) {
            Some(found) => std::ptr::eq(found, step),
            None => step.name == OTHERS,
        };
        sent.iter().filter(|(named, _)| mine(named)).map(|(_, bytes)| bytes).sum()
    }

    /// A script was made for it.
    pub(super) fn script(&mut self, profile: Option<String>, plan: Vec<(Role, String)>, at: Timestamp) {
        self.touch(Stage::Script, at);
        self.scripted = true;
        self.profile = profile;
        self.plan = plan;
        self.plan.truncate(MAX_STEPS);
        // What was fetched before the script named it has its place in the plan all the same.
        for step in self.steps.iter_mut().filter(|step| step.role == Role::Asset) {
            if let Some((role, _)) = self.plan.iter().find(|(_, name)| *name == step.name) {
                step.role = *role;
            }
        }
    }

    /// Adds the record of what turned out to be the same attempt.
    pub(super) fn absorb(&mut self, other: Self) {
        self.touch(other.stage, other.began);
        self.last = self.last.max(other.last);
        if other.scripted && !self.scripted {
            (self.scripted, self.profile, self.plan) = (true, other.profile, other.plan);
        }
        self.arch = self.arch.or(other.arch);
        for step in other.steps {
            let own = self.step(step.role, &step.name, step.began);
            // One that was made just now is an empty record.
            own.absorb(&step);
        }
    }

    /// Takes it that none of its transfers is under way; see [`Step::cut`].
    pub(super) fn cut(&mut self, outcome: Option<Outcome>) {
        for step in &mut self.steps {
            step.cut(outcome);
        }
    }

    /// What it takes to remember: steps, and names of its plan.
    pub(super) fn weight(&self) -> usize {
        self.steps.len() + self.plan.len()
    }

    /// Whether any of its transfers is under way.
    pub(super) fn is_open(&self) -> bool {
        self.steps.iter().any(|step| step.open > 0)
    }

    /// Whether nothing has happened for longer than `pause`.
    pub(super) fn is_quiet(&self, pause: SignedDuration, at: Timestamp) -> bool {
        !self.is_open() && at.duration_since(self.last) > pause
    }

    /// Whether DHCP named this file: a path, or a URL that ends with it.
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

/// The role of what has one by its name: scripts, and files of hosts.
pub(super) fn by_name(name: &str) -> Option<Role> {
    if SCRIPTS.contains(&name) { Some(Role::Script) } else { name.starts_with("hosts/").then_some(Role::File) }
}

fn is_entry(name: &str) -> bool {
    SCRIPTS[..ENTRIES].contains(&name)
}
