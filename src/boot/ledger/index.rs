//! The index: the last attempts to boot of each machine. Pure: no clock, no files, no network.
//!
//! DHCP and scripts identify a machine by its MAC, transfers only by their address. A script binds an address to a MAC.
//! Before that, transfers are recorded under the address, and move to the MAC when the script makes it known.

mod lines;
mod machines;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::IpAddr;

use jiff::Timestamp;

use super::attempt::Attempt;
use super::bindings::Bindings;
use super::end_record::EndRecord;
use super::host_cards::HostCards;
use super::identity::Identity;
use super::key::MachineKey;
use super::names::{self, stored_name};
use super::sent_script::SentScript;
use super::sequence::{MAX_PAUSE, continues};
use super::way::Way;
use crate::boot::mac::Mac;
use crate::boot::machine::Machine;
use crate::boot::role::Role;
use crate::depot::Protocol;

/// Stored attempts of one machine.
pub(super) const MAX_ATTEMPTS: usize = 20;
/// Stored machines: about a hundred racks. Machines that are not hosts are dropped first, because any client can make them
/// up; among equals, the least recently seen.
pub(super) const MAX_MACHINES: usize = 4096;
/// The memory of the attempts of all machines in bytes, dropped in the same order: 20 boots of each of 1,000 machines.
pub(super) const MAX_WEIGHT: usize = 64 << 20;
/// The most stored machines that are no hosts and were first seen at one address.
pub(super) const MAX_OF_ADDRESS: usize = MAX_MACHINES / 4;
/// The name of a script until its transfer reports the actual one.
const SCRIPT_NAME: &str = "ipxe";

/// One machine.
#[derive(Debug, Clone)]
pub(super) struct MachineRecord {
    /// The name of its host, if it is one.
    pub(super) host: Option<String>,
    /// Everything that it was seen with.
    pub(super) identity: Identity,
    /// Ordered by their start.
    pub(super) attempts: VecDeque<Attempt>,
    /// The number of its last attempt.
    last_number: u64,
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
    /// The machines of further network cards: those that are not the key of their machine.
    cards: HashMap<Mac, MachineKey>,
    bindings: Bindings,
    open: HashMap<u64, Open>,
    last_id: u64,
    /// The weight of all machines, in bytes.
    pub(super) weight: usize,
    /// Whether changes are recorded.
    records_changes: bool,
    /// Attempts that changed since the last [`Index::take_changes`], with their machine; `None` if the attempt is gone.
    changed: BTreeMap<u64, Option<MachineKey>>,
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
    /// Records a DHCP answer to a machine, which may be a host. Returns the number of the boot; `None` if its MAC is unknown.
    pub(super) fn record_offer(
        &mut self,
        machine: &Machine,
        host: Option<&HostCards>,
        arch: u16,
        file: &str,
        confirms: bool,
        at: Timestamp,
    ) -> Option<u64> {
        let (key, is_host) = self.key_for(Some(machine.mac?), host, at);
        let key = key?;
        let file = stored_name(file);
        let way = Way::of_offer(&file);
        self.record(key, Role::Dhcp, &file, Some(way), at, |attempt| {
            attempt.arch = Some(arch);
            if !names::is_entry(&file) {
                attempt.ways.add(way);
            }
            attempt.step(Role::Dhcp, &file, at).answer(confirms, at);
        });
        self.learn(key, machine, None, host.filter(|_| is_host));
        Some(self.last_number(&key))
    }

    /// Records a script. Returns the number of the boot.
    pub(super) fn record_script(&mut self, script: SentScript<'_>, at: Timestamp) -> u64 {
        let SentScript { machine, peer, host, .. } = script;
        let before = self.key_of(peer, at);
        let (key, is_host) = self.key_for(machine.mac, host, at);
        let key = key.unwrap_or(before);
        let is_proven = key == before && self.bindings.is_proven(peer, at);
        if !is_proven && let Some(claim) = self.claim(key, peer, at) {
            return self.record_claim(SentScript { near_miss: Some(claim), ..script }, key, at);
        }
        let SentScript { near_miss, profile, kind, named, .. } = script;
        let near_miss = near_miss.or_else(|| host.filter(|_| !is_host).map(other_machine));
        if let Some(mac) = machine.mac.or(key.mac().filter(|_| key != before)) {
            self.bindings.by_script(peer, mac, at);
            for from in [MachineKey::Address(peer), before] {
                if from != key {
                    self.move_attempt(from, key, at);
                }
            }
        }
        let plan = named.iter().map(|(role, name)| (*role, stored_name(name))).collect();
        self.record(key, Role::Script, SCRIPT_NAME, None, at, |attempt| {
            attempt.record_script(profile.map(stored_name), kind, plan, at);
            attempt.move_to(peer, at);
        });
        self.learn(key, machine, Some(peer), host.filter(|_| is_host));
        if let Some(record) = self.machines.get_mut(&key) {
            record.identity.near_miss = near_miss;
        }
        self.limit_strangers(key, peer);
        self.last_number(&key)
    }

    /// Records a script that a client at another address asked for while the machine `key` boots. It is a boot of the client,
    /// under its own address: any client can name a machine.
    fn record_claim(&mut self, script: SentScript<'_>, key: MachineKey, at: Timestamp) -> u64 {
        let SentScript { machine, peer, near_miss, profile, kind, named, .. } = script;
        let boot = self.machines.get_mut(&key).and_then(|machine| machine.attempts.back_mut());
        if let Some(boot) = boot {
            boot.record_claim(peer, at);
            let id = boot.id;
            self.mark(id, Some(key));
            self.settle(key);
        }
        let before = self.key_of(peer, at);
        let own = if before == key { MachineKey::Address(peer) } else { before };
        let plan = named.iter().map(|(role, name)| (*role, stored_name(name))).collect();
        self.record(own, Role::Script, SCRIPT_NAME, None, at, |attempt| {
            attempt.record_script(profile.map(stored_name), kind, plan, at);
            attempt.move_to(peer, at);
        });
        // It is not the machine that its MAC belongs to, as far as is known.
        self.learn(own, &Machine { mac: None, ..machine.clone() }, Some(peer), None);
        if let Some(record) = self.machines.get_mut(&own) {
            record.identity.near_miss = near_miss;
        }
        self.limit_strangers(own, peer);
        self.last_number(&own)
    }

    /// Drops the oldest of the machines that are no hosts and that one address made known, if there are too many.
    fn limit_strangers(&mut self, key: MachineKey, peer: IpAddr) {
        // In most networks there are fewer machines.
        if self.machines.len() <= MAX_OF_ADDRESS {
            return;
        }
        // The address that is first: a client that names a known machine does not make it one of its own.
        let is_theirs =
            |record: &MachineRecord| record.host.is_none() && record.identity.addresses.last() == Some(&peer);
        let theirs = || self.machines.iter().filter(|(other, record)| **other != key && is_theirs(record));
        if theirs().count() < MAX_OF_ADDRESS {
            return;
        }
        if let Some(oldest) = theirs().min_by_key(|(_, record)| record.last).map(|(key, _)| *key) {
            self.drop_machine(oldest);
        }
    }

    fn last_number(&self, key: &MachineKey) -> u64 {
        self.machines.get(key).and_then(|machine| machine.attempts.back()).map_or(0, |attempt| attempt.number)
    }

    /// Records the start of a transfer.
    pub(super) fn transfer_began(&mut self, start: &TransferStart<'_>) {
        let (name, at) = (stored_name(start.name), start.at);
        let key = self.key_of(start.peer, at);
        let way = Way::of(start.protocol, start.peer);
        let current = self.machines.get(&key).and_then(|machine| machine.attempts.back());
        let role_in = |attempt: &Attempt| attempt.role_of(&name, start.protocol, way, at);
        // A file that a machine fetches after a long time has the role that it would have in a first boot.
        let current = current.filter(|attempt| !attempt.is_quiet(MAX_PAUSE, at));
        let role = current.map_or_else(|| role_in(&Attempt::new(0, 0, at)), role_in);
        let attempt = self.record(key, role, &name, Some(way), at, |attempt| {
            if role == Role::Nbp {
                attempt.ways.add(way);
            }
            attempt.step(role, &name, at).begin(at);
        });
        let is_bound = self.bindings.mac_of(start.peer, at).is_some();
        let current = self.machines.get_mut(&key).and_then(|machine| machine.attempts.back_mut());
        if let Some(current) = current.filter(|attempt| is_bound && attempt.address.is_none()) {
            current.move_to(start.peer, at);
            let id = current.id;
            self.mark(id, Some(key));
        }
        let seen = Machine { mac: self.bindings.mac_of(start.peer, at), ..Machine::default() };
        self.learn(key, &seen, Some(start.peer), None);
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

    /// Records the end of a transfer, and its start if that was missed. Returns its machine and the id of its attempt.
    pub(super) fn transfer_ended(
        &mut self,
        start: &TransferStart<'_>,
        end: &EndRecord,
        at: Timestamp,
    ) -> Option<(MachineKey, u64)> {
        if !self.open.contains_key(&start.id) {
            self.transfer_began(start);
        }
        let open = self.open.remove(&start.id)?;
        let machine = self.machines.get_mut(&open.key);
        let attempt =
            machine.and_then(|machine| machine.attempts.iter_mut().find(|attempt| attempt.id == open.attempt));
        // The machine or the attempt may have been dropped since.
        if let Some(attempt) = attempt {
            attempt.end(open.role, &open.name, end, start.at, at);
            self.mark(open.attempt, Some(open.key));
            self.settle(open.key);
        }
        Some((open.key, open.attempt))
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

    /// Returns all machines.
    pub(super) fn machines(&self) -> impl Iterator<Item = (&MachineKey, &MachineRecord)> {
        self.machines.iter()
    }

    /// Returns one machine.
    pub(super) fn machine(&self, key: &MachineKey) -> Option<&MachineRecord> {
        self.machines.get(key)
    }

    /// Returns a machine for changes of what the journal does not keep by itself, and of its attempts; see [`Index::mark`].
    pub(super) fn machine_mut(&mut self, key: &MachineKey) -> Option<&mut MachineRecord> {
        self.machines.get_mut(key)
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

    /// Records an event of a machine in its last attempt, or in a new one if the step does not belong to that. Returns the
    /// attempt's id.
    fn record(
        &mut self,
        key: MachineKey,
        role: Role,
        name: &str,
        way: Option<Way>,
        at: Timestamp,
        event: impl FnOnce(&mut Attempt),
    ) -> u64 {
        let machine = self.machines.entry(key).or_default();
        let belongs = machine.attempts.back().is_some_and(|attempt| continues(attempt, role, name, way, at));
        if !belongs {
            self.last_id += 1;
            machine.last_number += 1;
            machine.attempts.push_back(Attempt::new(self.last_id, machine.last_number, at));
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

    /// Sorts a changed machine and enforces the limits.
    fn settle(&mut self, key: MachineKey) {
        let Some(machine) = self.machines.get_mut(&key) else { return };
        for attempt in &mut machine.attempts {
            attempt.steps.sort_by_key(|step| step.began);
        }
        machine.attempts.make_contiguous().sort_by_key(|attempt| attempt.began);
        let surplus = machine.attempts.len().saturating_sub(MAX_ATTEMPTS);
        let dropped: Vec<_> = machine.attempts.drain(..surplus).map(|attempt| attempt.id).collect();
        machine.last = machine.attempts.iter().map(|attempt| attempt.last).max().unwrap_or(Timestamp::MIN);
        let weight = machine.attempts.iter().map(Attempt::weight).sum();
        self.weight = self.weight - std::mem::replace(&mut machine.weight, weight) + weight;
        let is_empty = machine.attempts.is_empty();
        for id in dropped {
            self.mark(id, None);
        }
        if is_empty {
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
            self.cards.retain(|mac, _| !machine.identity.macs.contains(mac));
            for attempt in machine.attempts {
                self.mark(attempt.id, None);
            }
        }
    }
}

/// Says that a machine names a host that another machine is.
fn other_machine(host: &HostCards) -> String {
    let name = &host.name;
    format!("it says that it is {name}, which is another machine here; if it is {name}, add its MAC address to `match`")
}

impl MachineRecord {
    /// The time of its last event.
    pub(super) fn last(&self) -> Timestamp {
        self.last
    }
}

impl Default for MachineRecord {
    fn default() -> Self {
        let (attempts, identity) = (VecDeque::new(), Identity::default());
        Self { host: None, identity, attempts, last_number: 0, weight: 0, last: Timestamp::MIN }
    }
}
