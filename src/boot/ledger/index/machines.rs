//! Which machine an event belongs to: by its network card, its host or its address.

use std::cmp::Reverse;
use std::net::IpAddr;

use jiff::Timestamp;

use super::{Index, MachineRecord, SCRIPT_NAME};
use crate::boot::ledger::attempt::Attempt;
use crate::boot::ledger::host_cards::HostCards;
use crate::boot::ledger::key::MachineKey;
use crate::boot::ledger::names::stored_name;
use crate::boot::ledger::query::MachineQuery;
use crate::boot::ledger::sequence::{MAX_PAUSE, continues};
use crate::boot::ledger::stage::Stage;
use crate::boot::mac::Mac;
use crate::boot::machine::Machine;
use crate::boot::role::Role;

impl Index {
    /// Whether the MAC of this address is unknown, or only from a script, and the machine boots from another address since.
    pub(in crate::boot::ledger) fn is_unknown(&self, peer: IpAddr, at: Timestamp) -> bool {
        let Some(mac) = self.bindings.mac_of(peer, at) else { return true };
        let record = self.machines.get(&self.key_of_card(mac));
        let home = record.and_then(|record| record.attempts.back()).and_then(|attempt| attempt.address);
        !self.bindings.is_proven(peer, at) && home.is_some_and(|home| home != peer)
    }

    /// Records the MAC that the neighbour table has for an address, and the host with this MAC.
    pub(in crate::boot::ledger) fn record_neighbour(
        &mut self,
        peer: IpAddr,
        mac: Mac,
        host: Option<&HostCards>,
        at: Timestamp,
    ) {
        if self.is_unknown(peer, at) {
            self.bindings.by_neighbour(peer, mac, at);
            if let (Some(key), _) = self.key_for(Some(mac), host, at) {
                let claims = self.machines.get(&MachineKey::Address(peer)).and_then(|record| record.attempts.back());
                let claims = claims.is_some_and(|attempt| attempt.address == Some(peer));
                let moved = self.move_attempt(MachineKey::Address(peer), key, at);
                let current = self.machines.get_mut(&key).and_then(|record| record.attempts.back_mut());
                // The script that it asked for from there was its own.
                if let Some(current) = current.filter(|_| moved && claims) {
                    current.move_to(peer, at);
                    let id = current.id;
                    self.bindings.by_script(peer, mac, at);
                    self.mark(id, Some(key));
                    self.settle(key);
                }
            }
        }
    }

    /// Returns the machines that fit a search best: several only if they are the same host.
    pub(in crate::boot::ledger) fn find(&self, query: &MachineQuery<'_>) -> Vec<MachineKey> {
        let rank = |record: &MachineRecord| query.rank(record.host.as_deref(), &record.identity);
        // Any client can send the UUID, serial number or asset tag of a host.
        let is_said = |rank: usize, record: &MachineRecord| rank > MachineQuery::ADDRESS && record.host.is_none();
        let ranked = self.machines.iter().filter_map(|(key, record)| {
            let rank = rank(record)?;
            Some((rank, is_said(rank, record), Reverse(record.last), *key))
        });
        let mut ranked: Vec<_> = ranked.collect();
        ranked.sort_unstable();
        let same_host = ranked.iter().take_while(|(rank, ..)| *rank == 0).count();
        ranked.truncate(same_host.max(1));
        ranked.into_iter().map(|(.., key)| key).collect()
    }

    /// Removes a machine and its boots. Returns whether there was one.
    pub(in crate::boot::ledger) fn forget(&mut self, key: MachineKey) -> bool {
        let Some(machine) = self.machines.get(&key) else { return false };
        let macs = machine.identity.macs.clone();
        // Its open transfers stay: without them, their ends would count as new requests of a machine.
        for mac in macs.into_iter().chain(key.mac()) {
            self.bindings.forget(mac);
        }
        self.drop_machine(key);
        true
    }

    /// Returns the machine at an address.
    pub(super) fn key_of(&self, peer: IpAddr, at: Timestamp) -> MachineKey {
        self.bindings.mac_of(peer, at).map_or(MachineKey::Address(peer), |mac| self.key_of_card(mac))
    }

    /// Returns the machine with this network card, or, without one, the machine that is this host; and whether it is the
    /// host. A card that the operator listed for a host belongs to the machine that was seen with another of its cards.
    ///
    /// Any other card is a machine of its own, because any client can send the serial number or UUID of a host. It is the
    /// host only if no other machine is: none with a listed card, and none that was seen within [`MAX_PAUSE`].
    pub(super) fn key_for(
        &mut self,
        mac: Option<Mac>,
        host: Option<&HostCards>,
        at: Timestamp,
    ) -> (Option<MachineKey>, bool) {
        let own = mac.map(|mac| self.key_of_card(mac));
        let Some(HostCards { name, macs }) = host else { return (own, false) };
        if let Some(own) = own
            && let Some(before) = self.machines.get(&own).and_then(|record| record.host.as_deref())
            // A machine whose host got another name is the same; a card that went to another host is not.
            && (before == name || own.mac() == mac)
        {
            return (Some(own), true);
        }
        let is_listed = |mac: Option<Mac>| mac.is_some_and(|mac| macs.contains(&mac));
        let named =
            self.machines.iter().filter(|(key, record)| key.mac().is_some() && record.host.as_ref() == Some(name));
        let named = named.max_by_key(|(key, record)| (is_listed(key.mac()), record.last)).map(|(key, _)| *key);
        let Some(mac) = mac else { return (named, true) };
        let Some(named) = named else {
            self.remove_card(mac);
            return (Some(MachineKey::Mac(mac)), true);
        };
        let quiet = |attempt: &Attempt| attempt.is_quiet(MAX_PAUSE, at);
        match (is_listed(Some(mac)), is_listed(named.mac())) {
            (true, true) => {
                self.remove_card(mac);
                self.absorb(MachineKey::Mac(mac), named, at);
                self.cards.insert(mac, named);
                return (Some(named), true);
            }
            (false, true) => return (own, false),
            (false, false) => {
                let last = self.machines.get(&named).and_then(|record| record.attempts.back());
                if !last.is_none_or(quiet) {
                    return (own, false);
                }
            }
            (true, false) => {}
        }
        // The machine before it said so only.
        if let Some(record) = self.machines.get_mut(&named) {
            record.host = None;
        }
        self.remove_card(mac);
        (Some(MachineKey::Mac(mac)), true)
    }

    /// Whether the machine `key` boots, and not from `peer`. If so, returns what the client at `peer` claims, in words.
    pub(super) fn claim(&self, key: MachineKey, peer: IpAddr, at: Timestamp) -> Option<String> {
        let record = self.machines.get(&key)?;
        let boot = record.attempts.back().filter(|attempt| !attempt.is_quiet(MAX_PAUSE, at))?;
        let home = boot.address.filter(|home| *home != peer)?;
        let name = record.host.clone().unwrap_or_else(|| key.to_string());
        Some(format!("it says that it is {name}, which boots from {home}"))
    }

    /// Adds what a request says of a machine.
    pub(super) fn learn(&mut self, key: MachineKey, machine: &Machine, peer: Option<IpAddr>, host: Option<&HostCards>) {
        let Some(record) = self.machines.get_mut(&key) else { return };
        record.host = host.map(|host| stored_name(&host.name)).or(record.host.take());
        if let Some(peer) = peer {
            record.identity.see_address(peer);
        }
        let surplus = record.identity.learn(machine);
        if let Some(surplus) = surplus {
            self.cards.remove(&surplus);
        }
    }

    /// Restores which cards belong to machines with another key.
    pub(super) fn restore_cards(&mut self) {
        let mut records: Vec<_> = self.machines.iter().collect();
        records.sort_by_key(|(key, record)| (record.last, **key));
        let cards = records.iter().flat_map(|(key, record)| record.identity.macs.iter().map(|mac| (*mac, **key)));
        self.cards = cards.filter(|(mac, _)| !self.machines.contains_key(&MachineKey::Mac(*mac))).collect();
    }

    /// Moves the last attempt of `from` to the machine `to`, after a script or the neighbour table identified it.
    /// Returns whether it did.
    pub(super) fn move_attempt(&mut self, from: MachineKey, to: MachineKey, at: Timestamp) -> bool {
        let Some(machine) = self.machines.get_mut(&from) else { return false };
        // An attempt under another MAC may belong to that machine: it moves only if no event of it came with a MAC.
        let may_move = |attempt: &Attempt| {
            let had_mac = attempt.kind.is_some() || attempt.steps.iter().any(|step| step.role == Role::Dhcp);
            attempt.stage() <= Stage::Script
                && !attempt.is_quiet(MAX_PAUSE, at)
                && (matches!(from, MachineKey::Address(_)) || !had_mac)
        };
        if !machine.attempts.back().is_some_and(may_move) {
            return false;
        }
        let Some(attempt) = machine.attempts.pop_back() else { return false };
        self.settle(from);
        self.place(attempt, to, true);
        self.settle(to);
        true
    }

    /// Moves everything of the machine `from` to the machine `to`: it is another card of that.
    fn absorb(&mut self, from: MachineKey, to: MachineKey, at: Timestamp) {
        let Some(record) = self.machines.get_mut(&from) else { return };
        let (attempts, identity) = (std::mem::take(&mut record.attempts), std::mem::take(&mut record.identity));
        self.settle(from);
        let last = attempts.back().map(|attempt| attempt.id);
        for attempt in attempts {
            let may_merge = Some(attempt.id) == last && !attempt.is_quiet(MAX_PAUSE, at);
            self.place(attempt, to, may_merge);
        }
        if let Some(record) = self.machines.get_mut(&to) {
            record.identity.merge(identity);
        }
        self.settle(to);
    }

    /// Adds an attempt to another machine: to the last attempt of that, if `may_merge` and both are one boot.
    fn place(&mut self, mut attempt: Attempt, to: MachineKey, may_merge: bool) {
        let moved = attempt.id;
        let target = self.machines.entry(to).or_default();
        let belongs = |current: &Attempt| {
            let way = attempt.ways.any();
            let is_scripted =
                attempt.kind.is_none() || continues(current, Role::Script, SCRIPT_NAME, way, attempt.began);
            may_merge
                && is_scripted
                && attempt.steps.iter().all(|step| continues(current, step.role, &step.name, way, step.began))
        };
        let into = match target.attempts.back_mut() {
            Some(current) if belongs(current) => {
                current.merge(attempt);
                let into = current.id;
                self.mark(moved, None);
                into
            }
            _ => {
                target.last_number += 1;
                attempt.number = target.last_number;
                target.attempts.push_back(attempt);
                moved
            }
        };
        self.mark(into, Some(to));
        for open in self.open.values_mut().filter(|open| open.attempt == moved) {
            (open.key, open.attempt) = (to, into);
        }
    }

    fn key_of_card(&self, mac: Mac) -> MachineKey {
        self.cards.get(&mac).copied().unwrap_or(MachineKey::Mac(mac))
    }

    /// Takes a card from the machine that had it.
    fn remove_card(&mut self, mac: Mac) {
        if let Some(record) = self.cards.remove(&mac).and_then(|key| self.machines.get_mut(&key)) {
            record.identity.macs.retain(|other| *other != mac);
        }
    }
}
