//! The index: the last attempts to boot of each machine. Pure: no clock, no files, no network.
//!
//! DHCP and scripts identify a machine by its MAC, transfers only by their address. A script binds an address to a MAC.
//! Before that, transfers are recorded under the address, and move to the MAC when the script makes it known.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::IpAddr;

use jiff::{SignedDuration, Timestamp};

use super::attempt::{Attempt, MAX_PAUSE};
use super::key::MachineKey;
use super::line::Line;
use super::stage::Stage;
use super::step::{EndRecord, stored_name};
use crate::boot::mac::Mac;
use crate::boot::role::Role;
use crate::depot::{Outcome, Protocol};

/// Stored attempts of one machine.
pub(super) const MAX_ATTEMPTS: usize = 20;
/// Stored machines: about a hundred racks. Machines that are not hosts are dropped first, because any client can make them
/// up; among equals, the least recently seen.
pub(super) const MAX_MACHINES: usize = 4096;
/// Stored steps and planned names of all machines, dropped in the same order. About 60 MiB, or 20 boots of each of 1,500
/// machines.
const MAX_WEIGHT: usize = 256 << 10;
/// Stored bindings of addresses to MACs. Those that expire first are dropped first.
const MAX_BINDINGS: usize = MAX_MACHINES;
/// How long a script binds an address to a MAC: a usual lease.
const SCRIPT_BINDING: SignedDuration = SignedDuration::from_hours(24);
/// How long an ARP entry binds an address to a MAC. Short, because leases change.
const ARP_BINDING: SignedDuration = SignedDuration::from_mins(1);
/// The name of a script until its transfer reports the actual one.
const SCRIPT_NAME: &str = "ipxe";

/// One machine.
#[derive(Debug, Clone)]
pub(super) struct MachineRecord {
    /// The name of its host, if it is one.
    pub(super) host: Option<String>,
    /// Its last address.
    pub(super) address: Option<IpAddr>,
    /// Ordered by their start.
    pub(super) attempts: VecDeque<Attempt>,
    /// The weight of its attempts, computed by [`Index::settle`].
    weight: usize,
    /// The time of its last event, computed by [`Index::settle`].
    last: Timestamp,
}

/// The start of a transfer.
#[derive(Debug, Clone, Copy)]
pub(super) struct TransferStart<'a> {
    pub(super) id: u64,
    pub(super) protocol: Protocol,
    pub(super) peer: IpAddr,
    pub(super) name: &'a str,
    pub(super) at: Timestamp,
}

/// The boots of all machines.
#[derive(Debug, Default)]
pub(super) struct Index {
    machines: HashMap<MachineKey, MachineRecord>,
    bindings: HashMap<IpAddr, Binding>,
    open: HashMap<u64, Open>,
    last_id: u64,
    /// The weight of all machines.
    weight: usize,
    /// Whether changes are recorded.
    records_changes: bool,
    /// Attempts that changed since the last [`Index::take_changes`], with their machine; `None` if the attempt is gone.
    changed: BTreeMap<u64, Option<MachineKey>>,
}

#[derive(Debug, Clone, Copy)]
struct Binding {
    mac: Mac,
    until: Timestamp,
}

/// The step that an active transfer belongs to.
#[derive(Debug, Clone)]
struct Open {
    key: MachineKey,
    attempt: u64,
    role: Role,
    name: String,
}

/// The bytes that active transfers have sent so far, by attempt, then by step.
pub(super) type BytesSent = HashMap<u64, HashMap<(Role, String), u64>>;

impl Index {
    /// Records a DHCP answer.
    pub(super) fn record_offer(&mut self, mac: Mac, arch: u16, file: &str, confirms: bool, at: Timestamp) {
        let file = stored_name(file);
        self.record(MachineKey::Mac(mac), Role::Dhcp, &file, at, |attempt| {
            attempt.arch = Some(arch);
            attempt.step(Role::Dhcp, &file, at).answer(confirms, at);
        });
    }

    /// Records a script.
    pub(super) fn record_script(
        &mut self,
        mac: Option<Mac>,
        peer: IpAddr,
        host: Option<&str>,
        profile: Option<&str>,
        plan: Vec<(Role, String)>,
        at: Timestamp,
    ) {
        let before = self.key_of(peer, at);
        let key = mac.map_or(before, MachineKey::Mac);
        if let Some(mac) = mac {
            self.bind(peer, mac, later(at, SCRIPT_BINDING));
            for from in [MachineKey::Address(peer), before] {
                if from != key {
                    self.move_attempt(from, key, at);
                }
            }
        }
        self.record(key, Role::Script, SCRIPT_NAME, at, |attempt| {
            attempt.record_script(profile.map(stored_name), plan, at);
        });
        if let Some(machine) = self.machines.get_mut(&key) {
            machine.address = Some(peer);
            machine.host = host.map(stored_name).or(machine.host.take());
        }
    }

    /// Records the start of a transfer.
    pub(super) fn transfer_began(&mut self, start: &TransferStart<'_>) {
        let (name, at) = (stored_name(start.name), start.at);
        let key = self.key_of(start.peer, at);
        let current = self.machines.get(&key).and_then(|machine| machine.attempts.back());
        let role = match current {
            Some(attempt) => attempt.role_of(&name, start.protocol, at),
            None => Attempt::new(0, at).role_of(&name, start.protocol, at),
        };
        let attempt = self.record(key, role, &name, at, |attempt| attempt.step(role, &name, at).begin(at));
        if let Some(machine) = self.machines.get_mut(&key) {
            machine.address = Some(start.peer);
        }
        self.open.insert(start.id, Open { key, attempt, role, name });
    }

    /// Sets the size of the asset of an active transfer, if known.
    pub(super) fn set_size(&mut self, transfer: u64, size: Option<u64>) {
        let Some(open) = self.open.get(&transfer).filter(|_| size.is_some()) else { return };
        let machine = self.machines.get_mut(&open.key);
        let attempt =
            machine.and_then(|machine| machine.attempts.iter_mut().find(|attempt| attempt.id == open.attempt));
        let step = attempt.and_then(|attempt| attempt.find_step(open.role, &open.name));
        if let Some(step) = step {
            step.size = size.or(step.size);
        }
    }

    /// Records the end of a transfer, and its start if that was missed.
    pub(super) fn transfer_ended(&mut self, start: &TransferStart<'_>, end: &EndRecord, at: Timestamp) {
        if !self.open.contains_key(&start.id) {
            self.transfer_began(start);
        }
        let Some(open) = self.open.remove(&start.id) else { return };
        let machine = self.machines.get_mut(&open.key);
        let attempt =
            machine.and_then(|machine| machine.attempts.iter_mut().find(|attempt| attempt.id == open.attempt));
        // The machine or the attempt may have been dropped since.
        if let Some(attempt) = attempt {
            attempt.step(open.role, &open.name, at).end(end, at);
            self.mark(open.attempt, Some(open.key));
            self.settle(open.key);
        }
    }

    /// Closes all active transfers, after events were missed.
    pub(super) fn close_all(&mut self) {
        self.open.clear();
        let mut closed = Vec::new();
        for (key, machine) in &mut self.machines {
            for attempt in machine.attempts.iter_mut().filter(|attempt| attempt.is_open()) {
                attempt.close_all(None);
                closed.push((attempt.id, *key));
            }
        }
        for (attempt, key) in closed {
            self.mark(attempt, Some(key));
        }
    }

    /// Whether the MAC of this address is unknown.
    pub(super) fn is_unknown(&self, peer: IpAddr, at: Timestamp) -> bool {
        matches!(self.key_of(peer, at), MachineKey::Address(_))
    }

    /// Records the MAC that the ARP table has for an address.
    pub(super) fn record_arp(&mut self, peer: IpAddr, mac: Mac, at: Timestamp) {
        if self.is_unknown(peer, at) {
            self.bind(peer, mac, later(at, ARP_BINDING));
            self.move_attempt(MachineKey::Address(peer), MachineKey::Mac(mac), at);
        }
    }

    /// Returns all machines.
    pub(super) fn machines(&self) -> impl Iterator<Item = (&MachineKey, &MachineRecord)> {
        self.machines.iter()
    }

    /// Returns one machine.
    pub(super) fn machine(&self, key: &MachineKey) -> Option<&MachineRecord> {
        self.machines.get(key)
    }

    /// Returns the last machine at this address.
    pub(super) fn at_address(&self, address: IpAddr) -> Option<MachineKey> {
        let found = self.machines.iter().filter(|(_, machine)| machine.address == Some(address));
        found.max_by_key(|(_, machine)| machine.last()).map(|(key, _)| *key)
    }

    /// Adds up by step what each active transfer has `sent` so far.
    pub(super) fn bytes_sent(&self, sent: &HashMap<u64, u64>) -> BytesSent {
        let mut all = BytesSent::new();
        for (id, open) in &self.open {
            if let Some(bytes) = sent.get(id) {
                *all.entry(open.attempt).or_default().entry((open.role, open.name.clone())).or_default() += bytes;
            }
        }
        all
    }

    /// Returns the changes since the last call.
    pub(super) fn take_changes(&mut self) -> Vec<Line> {
        let changed = std::mem::take(&mut self.changed);
        changed.into_iter().map(|(id, key)| key.and_then(|key| self.line(key, id)).unwrap_or(Line::Gone(id))).collect()
    }

    /// Enables the recording of changes.
    pub(super) fn with_changes(mut self) -> Self {
        self.records_changes = true;
        self
    }

    /// Returns all attempts, and discards the recorded changes.
    pub(super) fn all_lines(&mut self) -> Vec<Line> {
        self.changed.clear();
        let ids =
            self.machines.iter().flat_map(|(key, machine)| machine.attempts.iter().map(|attempt| (*key, attempt.id)));
        ids.filter_map(|(key, id)| self.line(key, id)).collect()
    }

    /// Rebuilds the index from the lines of a journal, in their order.
    pub(super) fn from_lines(lines: impl IntoIterator<Item = Line>) -> Self {
        let mut last = BTreeMap::new();
        let mut index = Self::default();
        for line in lines {
            let (Line::Boot { boot: Attempt { id, .. }, .. } | Line::Gone(id)) = line;
            index.last_id = index.last_id.max(id);
            last.insert(id, line);
        }
        let mut found: Vec<_> = last.into_values().collect();
        found.sort_by_key(|line| match line {
            Line::Boot { boot, .. } => boot.last,
            Line::Gone(_) => Timestamp::MIN,
        });
        for line in found {
            let Line::Boot { machine, host, address, mut boot } = line else { continue };
            // The process that served its open transfers has ended.
            boot.close_all(Some(Outcome::Aborted));
            if let (MachineKey::Mac(mac), Some(address)) = (machine, address) {
                index.bind(address, mac, later(boot.last, SCRIPT_BINDING));
            }
            let record = index.machines.entry(machine).or_default();
            record.host = host.or(record.host.take());
            record.address = address.or(record.address);
            record.attempts.push_back(boot);
            index.settle(machine);
        }
        index
    }

    fn mark(&mut self, attempt: u64, key: Option<MachineKey>) {
        if self.records_changes {
            self.changed.insert(attempt, key);
        }
    }

    fn line(&self, machine: MachineKey, id: u64) -> Option<Line> {
        let record = self.machines.get(&machine)?;
        let boot = record.attempts.iter().find(|attempt| attempt.id == id)?.clone();
        Some(Line::Boot { machine, host: record.host.clone(), address: record.address, boot })
    }

    /// Returns the machine at this address.
    fn key_of(&self, peer: IpAddr, at: Timestamp) -> MachineKey {
        match self.bindings.get(&peer) {
            Some(binding) if at < binding.until => MachineKey::Mac(binding.mac),
            _ => MachineKey::Address(peer),
        }
    }

    fn bind(&mut self, peer: IpAddr, mac: Mac, until: Timestamp) {
        if self.bindings.len() >= MAX_BINDINGS
            && !self.bindings.contains_key(&peer)
            && let Some(first) = self.bindings.iter().min_by_key(|(_, binding)| binding.until).map(|(peer, _)| *peer)
        {
            self.bindings.remove(&first);
        }
        self.bindings.insert(peer, Binding { mac, until });
    }

    /// Records an event of a machine in its last attempt, or in a new one if the step does not belong to that. Returns the
    /// attempt's id.
    fn record(
        &mut self,
        key: MachineKey,
        role: Role,
        name: &str,
        at: Timestamp,
        event: impl FnOnce(&mut Attempt),
    ) -> u64 {
        let machine = self.machines.entry(key).or_default();
        let continues = machine.attempts.back().is_some_and(|attempt| attempt.continues_with(role, name, at));
        if !continues {
            self.last_id += 1;
            machine.attempts.push_back(Attempt::new(self.last_id, at));
        }
        let mut id = self.last_id;
        if let Some(attempt) = machine.attempts.back_mut() {
            event(attempt);
            id = attempt.id;
        }
        self.mark(id, Some(key));
        self.settle(key);
        id
    }

    /// Moves the last attempt of `from` to the machine `to`, after a script or the ARP table identified it.
    fn move_attempt(&mut self, from: MachineKey, to: MachineKey, at: Timestamp) {
        let Some(machine) = self.machines.get_mut(&from) else { return };
        // An attempt under another MAC may belong to that machine: it moves only if no event of it came with a MAC.
        let may_move = |attempt: &Attempt| {
            let had_mac = attempt.scripted || attempt.steps.iter().any(|step| step.role == Role::Dhcp);
            attempt.stage <= Stage::Script
                && !attempt.is_quiet(MAX_PAUSE, at)
                && (matches!(from, MachineKey::Address(_)) || !had_mac)
        };
        if !machine.attempts.back().is_some_and(may_move) {
            return;
        }
        let Some(attempt) = machine.attempts.pop_back() else { return };
        self.settle(from);
        let moved = attempt.id;
        let target = self.machines.entry(to).or_default();
        let continues = |current: &Attempt| {
            attempt.steps.iter().all(|step| current.continues_with(step.role, &step.name, step.began))
        };
        let into = match target.attempts.back_mut() {
            Some(current) if continues(current) => {
                current.merge(attempt);
                let into = current.id;
                self.mark(moved, None);
                into
            }
            _ => {
                target.attempts.push_back(attempt);
                moved
            }
        };
        self.mark(into, Some(to));
        for open in self.open.values_mut().filter(|open| open.attempt == moved) {
            (open.key, open.attempt) = (to, into);
        }
        self.settle(to);
    }

    /// Sorts a changed machine and enforces the limits.
    fn settle(&mut self, key: MachineKey) {
        let Some(machine) = self.machines.get_mut(&key) else { return };
        for attempt in &mut machine.attempts {
            attempt.steps.sort_by_key(|step| step.began);
        }
        machine.attempts.make_contiguous().sort_by_key(|attempt| attempt.began);
        while machine.attempts.len() > MAX_ATTEMPTS {
            machine.attempts.pop_front();
        }
        machine.last = machine.attempts.iter().map(|attempt| attempt.last).max().unwrap_or(Timestamp::MIN);
        let weight = machine.attempts.iter().map(Attempt::weight).sum();
        self.weight = self.weight - std::mem::replace(&mut machine.weight, weight) + weight;
        if machine.attempts.is_empty() {
            self.drop_machine(key);
        }
        while self.machines.len() > MAX_MACHINES || self.weight > MAX_WEIGHT {
            let others = self.machines.iter().filter(|(other, _)| **other != key);
            let first =
                others.min_by_key(|(_, machine)| (machine.host.is_some(), machine.last)).map(|(other, _)| *other);
            let Some(first) = first else { break };
            self.drop_machine(first);
        }
    }

    fn drop_machine(&mut self, key: MachineKey) {
        if let Some(machine) = self.machines.remove(&key) {
            self.weight -= machine.weight;
        }
    }
}

impl MachineRecord {
    /// The time of its last event.
    pub(super) fn last(&self) -> Timestamp {
        self.last
    }
}

impl Default for MachineRecord {
    fn default() -> Self {
        Self { host: None, address: None, attempts: VecDeque::new(), weight: 0, last: Timestamp::MIN }
    }
}

/// Returns the time `pause` after `at`, or `at` if that is out of range.
fn later(at: Timestamp, pause: SignedDuration) -> Timestamp {
    at.saturating_add(pause).unwrap_or(at)
}
