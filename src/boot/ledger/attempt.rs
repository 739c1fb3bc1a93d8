//! One attempt of a machine to boot: its steps, and what they say about it.

use std::collections::HashMap;
use std::net::IpAddr;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::end_record::EndRecord;
use super::names;
use super::reported::Reported;
use super::script_kind::ScriptKind;
use super::stage::Stage;
use super::step::Step;
use super::trouble::stored_reason;
use super::troubles::Troubles;
use super::way::{Way, Ways};
use crate::boot::role::Role;
use crate::depot::{Outcome, Protocol};

/// The most steps of one attempt. Further files are added up in the last step. Installers fetch a few dozen files.
pub(super) const MAX_STEPS: usize = 32;
/// The most other addresses that are shown of one attempt.
const MAX_ADDRESSES: usize = 4;
/// The name of the step for further files.
const OTHERS: &str = "(others)";
/// The longest pause within a stage. Firmware and iPXE retry within seconds, and a restarted machine needs longer than this
/// to request its network boot program.
pub(super) const PAUSE: SignedDuration = SignedDuration::from_mins(1);

/// One attempt to boot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Attempt {
    /// Unique in this ledger.
    pub(super) id: u64,
    /// Counts the attempts of its machine, from 1.
    #[serde(default)]
    pub(super) number: u64,
    pub(super) began: Timestamp,
    /// The time of its last event.
    pub(super) last: Timestamp,
    /// The kind of its last script; `None` if none was made for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) kind: Option<ScriptKind>,
    /// When its first script was made.
    // Not `scripted`: earlier versions stored a flag under that name.
    #[serde(default, rename = "scripted_at", skip_serializing_if = "Option::is_none")]
    scripted: Option<Timestamp>,
    /// The profile of that script.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) profile: Option<String>,
    /// The architecture in its DHCP request (RFC 4578 2.1).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) arch: Option<u16>,
    /// The ways in which its firmware started it.
    #[serde(default)]
    pub(super) ways: Ways,
    /// The verdict that the log has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) reported: Option<Reported>,
    /// The files that its last script named.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) plan: Vec<(Role, String)>,
    /// The address that the machine boots from, once a script or the neighbour table has bound it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) address: Option<IpAddr>,
    /// Ordered by their start.
    pub(super) steps: Vec<Step>,
}

impl Attempt {
    /// An attempt that starts at `at`.
    pub(super) fn new(id: u64, number: u64, at: Timestamp) -> Self {
        Self {
            id,
            number,
            began: at,
            last: at,
            kind: None,
            scripted: None,
            profile: None,
            arch: None,
            ways: Ways::default(),
            reported: None,
            plan: Vec::new(),
            address: None,
            steps: Vec::new(),
        }
    }

    /// The latest stage that it reached.
    pub(super) fn stage(&self) -> Stage {
        let scripted = self.kind.is_some().then_some(Stage::Script);
        self.counted().map(|step| self.stage_of(step)).chain(scripted).max().unwrap_or(Stage::Dhcp)
    }

    /// The stage that a step belongs to.
    pub(super) fn stage_of(&self, step: &Step) -> Stage {
        Stage::of(step.role, &step.name, self.first_script().is_some_and(|script| script <= step.began))
    }

    /// Returns the role of a transfer of `name` in this attempt.
    pub(super) fn role_of(&self, name: &str, protocol: Protocol, way: Way, at: Timestamp) -> Role {
        if let Some((role, _)) = self.plan.iter().find(|(_, planned)| planned == name) {
            return *role;
        }
        if let Some(role) = names::role(name) {
            return role;
        }
        let known = self.counted().find(|step| step.role != Role::Dhcp && step.name == name);
        if let Some(step) = known {
            return step.role;
        }
        if self.was_offered(name) {
            return Role::Nbp;
        }
        let tftp = protocol == Protocol::Tftp;
        let is_nbp = if self.stage() < Stage::Entry {
            // Firmware boots an image before everything else; a system may read one later.
            let fetched = |step: &Step| step.role == Role::Nbp || (step.role != Role::Dhcp && names::is_image(name));
            let bootable = tftp || names::is_program(name) || names::is_image(name);
            bootable && (!self.counted().any(fetched) || self.ways.is_new(way))
        } else {
            // The firmware is running again, and requests another file than before.
            let again = (tftp && self.is_quiet(PAUSE, at)) || (self.ways.is_new(way) && !self.is_served());
            again && names::is_program(name)
        };
        if is_nbp { Role::Nbp } else { Role::Asset }
    }

    /// Returns the step of this role and name, and adds it if it is missing.
    pub(super) fn step(&mut self, role: Role, name: &str, at: Timestamp) -> &mut Step {
        self.touch(at);
        let found = self.steps.iter().position(|step| step.role == role && step.name == name);
        let index = match found {
            Some(index) => index,
            None if self.files() + 1 < MAX_STEPS => {
                let disk = names::is_image(name) || self.is_disk(name);
                let index = self.add(Step::new(role, name.to_owned(), at));
                self.steps[index].disk = disk;
                index
            }
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

    /// Records the end of a transfer that began at `began`.
    pub(super) fn end(&mut self, role: Role, name: &str, ending: &EndRecord, began: Timestamp, at: Timestamp) {
        let listed = ending.listed || self.was_offered(name) || self.plan.iter().any(|(_, planned)| planned == name);
        self.step(role, name, at).end(name, &EndRecord { listed, ..ending.clone() }, began, at);
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
    pub(super) fn record_script(
        &mut self,
        profile: Option<String>,
        kind: ScriptKind,
        plan: Vec<(Role, String)>,
        at: Timestamp,
    ) {
        self.touch(at);
        self.scripted = Some(self.scripted.map_or(at, |before| before.min(at)));
        self.kind = Some(match kind {
            ScriptKind::Waits(reason) => ScriptKind::Waits(stored_reason(&reason)),
            ScriptKind::Failed(reason) => ScriptKind::Failed(stored_reason(&reason)),
            kind => kind,
        });
        self.profile = profile;
        self.plan = plan;
        self.plan.truncate(MAX_STEPS);
        // Assets that were fetched before the script named them get their role now.
        for index in 0..self.steps.len() {
            let (role, name) = (self.steps[index].role, self.steps[index].name.clone());
            if role == Role::Asset
                && let Some((role, _)) = self.plan.iter().find(|(_, planned)| *planned == name)
            {
                let (role, disk) = (*role, self.is_disk(&name));
                self.steps[index].role = role;
                self.steps[index].disk |= disk;
            }
        }
    }

    /// Merges another record of the same attempt.
    pub(super) fn merge(&mut self, other: Self) {
        self.touch(other.began);
        self.last = self.last.max(other.last);
        self.address = self.address.or(other.address);
        if other.kind.is_some() && other.scripted > self.scripted {
            (self.kind, self.scripted) = (other.kind, other.scripted);
            (self.profile, self.plan) = (other.profile, other.plan);
        }
        self.arch = self.arch.or(other.arch);
        self.ways.merge(other.ways);
        for step in other.steps {
            let own = self.step(step.role, &step.name, step.began);
            own.merge(&step);
        }
    }

    /// Records that the machine boots from `address` now.
    pub(super) fn move_to(&mut self, address: IpAddr, at: Timestamp) {
        if self.address.replace(address).is_none_or(|before| before == address) {
            return;
        }
        self.touch(at);
        if let Some(step) = self.address_step(address, at) {
            step.answer(false, at);
            step.troubles = Troubles::default();
        }
    }

    /// Records that a client at another address, which may be any client, asked for the script. The boot goes on without it.
    pub(super) fn record_claim(&mut self, address: IpAddr, at: Timestamp) {
        let home = self.address.map(|home| home.to_string()).unwrap_or_default();
        // The attempt is not touched: else such requests would keep it from being stuck. The clock may have been set back.
        let at = at.max(self.began);
        if let Some(step) = self.address_step(address, at) {
            let reason = format!("it asked for the script of this machine, which boots from {home}");
            let refused = EndRecord {
                outcome: Outcome::Refused,
                reason: Some(reason),
                listed: true,
                cache: None,
                bytes: 0,
                size: None,
            };
            let name = step.name.clone();
            step.begin(at);
            step.end(&name, &refused, at, at);
        }
    }

    /// The step for another address; `None` if there are too many.
    fn address_step(&mut self, address: IpAddr, at: Timestamp) -> Option<&mut Step> {
        let name = address.to_string();
        let is_it = |step: &Step| step.role == Role::Address && step.name == name;
        let others = self.steps.iter().filter(|step| step.role == Role::Address).count();
        let index = match self.steps.iter().position(is_it) {
            Some(index) => index,
            None if others < MAX_ADDRESSES => self.add(Step::new(Role::Address, name, at)),
            None => return None,
        };
        self.steps.get_mut(index)
    }

    /// Closes all active transfers; see [`Step::close_all`].
    pub(super) fn close_all(&mut self, ending: Option<&EndRecord>) {
        for step in &mut self.steps {
            step.close_all(ending);
        }
    }

    /// The memory that it takes, in bytes.
    pub(super) fn weight(&self) -> usize {
        let steps: usize = self.steps.iter().map(Step::weight).sum();
        let planned = |(role, name): &(Role, String)| size_of_val(role) + size_of_val(name) + name.len();
        size_of::<Self>() + steps + self.plan.iter().map(planned).sum::<usize>()
    }

    /// Whether any of its transfers is active.
    pub(super) fn is_open(&self) -> bool {
        self.steps.iter().any(|step| step.open > 0)
    }

    /// Whether it has had no events and no active transfers for longer than `pause`.
    pub(super) fn is_quiet(&self, pause: SignedDuration, at: Timestamp) -> bool {
        !self.is_open() && at.duration_since(self.last) > pause
    }

    /// Whether the machine waits in its boot loader for another script.
    pub(super) fn waits(&self) -> bool {
        self.kind.as_ref().is_some_and(ScriptKind::waits)
    }

    /// Whether it fetched payload, and nothing of that failed.
    pub(super) fn is_served(&self) -> bool {
        let mut payload = self.counted().filter(|step| self.stage_of(step) == Stage::Payload).peekable();
        payload.peek().is_some() && payload.all(|step| step.troubles.is_empty())
    }

    /// Steps that say something about the boot.
    pub(super) fn counted(&self) -> impl Iterator<Item = &Step> {
        self.steps.iter().filter(|step| step.counts())
    }

    /// When its first script was made or requested.
    pub(super) fn first_script(&self) -> Option<Timestamp> {
        let sent = self.counted().filter(|step| step.role == Role::Script).map(|step| step.began);
        sent.chain(self.scripted).min()
    }

    /// Whether its script uses this file as a disk.
    fn is_disk(&self, name: &str) -> bool {
        self.kind == Some(ScriptKind::Image) && self.plan.iter().any(|(_, planned)| planned == name)
    }

    /// Whether DHCP offered this file: as a path, or as a URL that ends with it.
    fn was_offered(&self, name: &str) -> bool {
        let mut offered = self.steps.iter().filter(|step| step.role == Role::Dhcp);
        offered.any(|step| step.name.strip_suffix(name).is_some_and(|rest| rest.is_empty() || rest.ends_with('/')))
    }

    fn add(&mut self, step: Step) -> usize {
        let index = self.steps.partition_point(|other| other.began <= step.began);
        // Attempts are many, and most have few steps.
        self.steps.reserve_exact(1);
        self.steps.insert(index, step);
        index
    }

    /// How many steps are files or DHCP answers.
    fn files(&self) -> usize {
        self.steps.iter().filter(|step| step.role != Role::Address).count()
    }

    fn touch(&mut self, at: Timestamp) {
        self.began = self.began.min(at);
        self.last = self.last.max(at);
    }
}

/// How transfers ended that the process did not survive.
pub(super) fn lost_with_server() -> EndRecord {
    EndRecord {
        outcome: Outcome::Aborted,
        reason: Some("the server ended while it was sent".to_owned()),
        listed: false,
        cache: None,
        bytes: 0,
        size: None,
    }
}
