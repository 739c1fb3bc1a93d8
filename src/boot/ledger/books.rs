//! The books: a page for each machine, its last attempts to boot on it. Pure: no clock, no files, no network.
//!
//! Half of what happens is known by MAC (DHCP, scripts), the other half by address (transfers). An address is bound to a
//! machine by the script that went there; what an address did before is written on a page of its own, and moves to the
//! machine's when its script tells whose it was.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::IpAddr;

use jiff::{SignedDuration, Timestamp};

use super::Role;
use super::attempt::{AFRESH, Attempt};
use super::journal::Line;
use super::key::Key;
use super::role::Stage;
use super::step::{Ending, kept};
use crate::boot::Mac;
use crate::depot::{Outcome, Protocol};

/// Attempts that are kept of one machine.
pub(super) const MAX_ATTEMPTS: usize = 20;
/// Machines that are kept. A hundred racks. Those go first that are no host of the settings, whom anybody on the network
/// can make up, and of them the least recently seen.
pub(super) const MAX_PAGES: usize = 4096;
/// Steps and planned names of all machines; the same go first. Some 60 MiB, and 20 boots of each of 1,500
/// machines.
const MAX_WEIGHT: usize = 256 << 10;
/// Addresses that are bound to machines; those whose time is over soonest go first.
const MAX_BOUND: usize = MAX_PAGES;
/// How long the address that a script went to is that machine's: a usual lease.
const BOUND_BY_SCRIPT: SignedDuration = SignedDuration::from_hours(24);
/// How long to believe the neighbour table, which follows leases that change.
const BOUND_AS_NEIGHBOUR: SignedDuration = SignedDuration::from_mins(1);
/// The name that stands for a script before its transfer tells its own.
const A_SCRIPT: &str = "ipxe";

/// One machine.
#[derive(Debug, Clone)]
pub(super) struct Page {
    /// The host's name, if anybody gave it one.
    pub(super) host: Option<String>,
    /// Where it was last.
    pub(super) address: Option<IpAddr>,
    /// In the order of time.
    pub(super) attempts: VecDeque<Attempt>,
    /// Of its attempts, as of when it was last put in order.
    weight: usize,
    /// When anything of it last happened, as of then.
    last: Timestamp,
}

/// A transfer, as far as the books care.
#[derive(Debug, Clone, Copy)]
pub(super) struct Begun<'a> {
    pub(super) id: u64,
    pub(super) protocol: Protocol,
    pub(super) peer: IpAddr,
    pub(super) name: &'a str,
    pub(super) at: Timestamp,
}

/// The books.
#[derive(Debug, Default)]
pub(super) struct Books {
    pages: HashMap<Key, Page>,
    bound: HashMap<IpAddr, Bound>,
    open: HashMap<u64, Open>,
    last_id: u64,
    /// Of all pages.
    weight: usize,
    /// Whether anybody asks for changes.
    kept: bool,
    /// Attempts that changed since [`Books::changes`] was asked, with whose they are; none: they are no more.
    changed: BTreeMap<u64, Option<Key>>,
}

#[derive(Debug, Clone, Copy)]
struct Bound {
    mac: Mac,
    until: Timestamp,
}

/// Where a transfer under way is noted.
#[derive(Debug, Clone)]
struct Open {
    key: Key,
    attempt: u64,
    role: Role,
    name: String,
}

/// What the transfers under way have sent by now: by the attempt, then by the step.
pub(super) type UnderWay = HashMap<u64, HashMap<(Role, String), u64>>;

impl Books {
    /// DHCP told a machine what to boot.
    pub(super) fn offered(&mut self, mac: Mac, arch: u16, file: &str, confirms: bool, at: Timestamp) {
        let file = kept(file);
        self.write(Key::Mac(mac), Role::Dhcp, &file, at, |attempt| {
            attempt.arch = Some(arch);
            attempt.step(Role::Dhcp, &file, at).answer(confirms, at);
        });
    }

    /// A script was made for a machine.
    pub(super) fn scripted(
        &mut self,
        mac: Option<Mac>,
        peer: IpAddr,
        host: Option<&str>,
        profile: Option<&str>,
        plan: Vec<(Role, String)>,
        at: Timestamp,
    ) {
        let before = self.key_of(peer, at);
        let key = mac.map_or(before, Key::Mac);
        if let Some(mac) = mac {
            self.bind(peer, mac, later(at, BOUND_BY_SCRIPT));
            for from in [Key::Address(peer), before] {
                if from != key {
                    self.take_over(from, key, at);
                }
            }
        }
        self.write(key, Role::Script, A_SCRIPT, at, |attempt| attempt.script(profile.map(kept), plan, at));
        if let Some(page) = self.pages.get_mut(&key) {
            page.address = Some(peer);
            page.host = host.map(kept).or(page.host.take());
        }
    }

    /// A transfer began.
    pub(super) fn began(&mut self, begun: &Begun<'_>) {
        let (name, at) = (kept(begun.name), begun.at);
        let key = self.key_of(begun.peer, at);
        let current = self.pages.get(&key).and_then(|page| page.attempts.back());
        let role = match current {
            Some(attempt) => attempt.role_of(&name, begun.protocol, at),
            None => Attempt::new(0, at).role_of(&name, begun.protocol, at),
        };
        let attempt = self.write(key, role, &name, at, |attempt| attempt.step(role, &name, at).begin(at));
        if let Some(page) = self.pages.get_mut(&key) {
            page.address = Some(begun.peer);
        }
        self.open.insert(begun.id, Open { key, attempt, role, name });
    }

    /// What a transfer under way is of is so large as a whole, if anybody knows.
    pub(super) fn sized(&mut self, transfer: u64, size: Option<u64>) {
        let Some(open) = self.open.get(&transfer).filter(|_| size.is_some()) else { return };
        let page = self.pages.get_mut(&open.key);
        let attempt = page.and_then(|page| page.attempts.iter_mut().find(|attempt| attempt.id == open.attempt));
        let step = attempt.and_then(|attempt| attempt.own_step(open.role, &open.name));
        if let Some(step) = step {
            step.size = size.or(step.size);
        }
    }

    /// A transfer ended.
    pub(super) fn ended(&mut self, begun: &Begun<'_>, ending: &Ending, at: Timestamp) {
        if !self.open.contains_key(&begun.id) {
            self.began(begun);
        }
        let Some(open) = self.open.remove(&begun.id) else { return };
        let page = self.pages.get_mut(&open.key);
        let attempt = page.and_then(|page| page.attempts.iter_mut().find(|attempt| attempt.id == open.attempt));
        // Its machine or its attempt may have been forgotten since.
        if let Some(attempt) = attempt {
            attempt.step(open.role, &open.name, at).end(ending, at);
            self.mark(open.attempt, Some(open.key));
            self.settle(open.key);
        }
    }

    /// Some ends were missed: takes it that no transfer is under way.
    pub(super) fn cut(&mut self) {
        self.open.clear();
        let mut cut = Vec::new();
        for (key, page) in &mut self.pages {
            for attempt in page.attempts.iter_mut().filter(|attempt| attempt.is_open()) {
                attempt.cut(None);
                cut.push((attempt.id, *key));
            }
        }
        for (attempt, key) in cut {
            self.mark(attempt, Some(key));
        }
    }

    /// Whether nobody has told yet whose this address is.
    pub(super) fn is_stranger(&self, peer: IpAddr, at: Timestamp) -> bool {
        matches!(self.key_of(peer, at), Key::Address(_))
    }

    /// The neighbour table says whose an address is.
    pub(super) fn neighbour(&mut self, peer: IpAddr, mac: Mac, at: Timestamp) {
        if self.is_stranger(peer, at) {
            self.bind(peer, mac, later(at, BOUND_AS_NEIGHBOUR));
            self.take_over(Key::Address(peer), Key::Mac(mac), at);
        }
    }

    /// All machines.
    pub(super) fn pages(&self) -> impl Iterator<Item = (&Key, &Page)> {
        self.pages.iter()
    }

    /// One machine.
    pub(super) fn page(&self, key: &Key) -> Option<&Page> {
        self.pages.get(key)
    }

    /// The machine that last was at this address.
    pub(super) fn at_address(&self, address: IpAddr) -> Option<Key> {
        let there = self.pages.iter().filter(|(_, page)| page.address == Some(address));
        there.max_by_key(|(_, page)| page.last()).map(|(key, _)| *key)
    }

    /// What each step under way has sent by now, of what each transfer has.
    pub(super) fn under_way(&self, sent: &HashMap<u64, u64>) -> UnderWay {
        let mut all = UnderWay::new();
        for (id, open) in &self.open {
            if let Some(bytes) = sent.get(id) {
                *all.entry(open.attempt).or_default().entry((open.role, open.name.clone())).or_default() += bytes;
            }
        }
        all
    }

    /// What changed since this was last asked.
    pub(super) fn changes(&mut self) -> Vec<Line> {
        let changed = std::mem::take(&mut self.changed);
        changed.into_iter().map(|(id, key)| key.and_then(|key| self.line(key, id)).unwrap_or(Line::Gone(id))).collect()
    }

    /// The same books, which note from now on what changes.
    pub(super) fn kept(mut self) -> Self {
        self.kept = true;
        self
    }

    /// Everything, as changes.
    pub(super) fn all(&mut self) -> Vec<Line> {
        self.changed.clear();
        let ids = self.pages.iter().flat_map(|(key, page)| page.attempts.iter().map(|attempt| (*key, attempt.id)));
        ids.filter_map(|(key, id)| self.line(key, id)).collect()
    }

    /// The books that these changes made, in their order.
    pub(super) fn of(lines: impl IntoIterator<Item = Line>) -> Self {
        let mut last = BTreeMap::new();
        let mut books = Self::default();
        for line in lines {
            let (Line::Boot { boot: Attempt { id, .. }, .. } | Line::Gone(id)) = line;
            books.last_id = books.last_id.max(id);
            last.insert(id, line);
        }
        let mut found: Vec<_> = last.into_values().collect();
        found.sort_by_key(|line| match line {
            Line::Boot { boot, .. } => boot.last,
            Line::Gone(_) => Timestamp::MIN,
        });
        for line in found {
            let Line::Boot { machine, host, address, mut boot } = line else { continue };
            // The process that served it has ended.
            boot.cut(Some(Outcome::Aborted));
            if let (Key::Mac(mac), Some(address)) = (machine, address) {
                books.bind(address, mac, later(boot.last, BOUND_BY_SCRIPT));
            }
            let page = books.pages.entry(machine).or_default();
            page.host = host.or(page.host.take());
            page.address = address.or(page.address);
            page.attempts.push_back(boot);
            books.settle(machine);
        }
        books
    }

    fn mark(&mut self, attempt: u64, key: Option<Key>) {
        if self.kept {
            self.changed.insert(attempt, key);
        }
    }

    fn line(&self, machine: Key, id: u64) -> Option<Line> {
        let page = self.pages.get(&machine)?;
        let boot = page.attempts.iter().find(|attempt| attempt.id == id)?.clone();
        Some(Line::Boot { machine, host: page.host.clone(), address: page.address, boot })
    }

    /// Who is at this address.
    fn key_of(&self, peer: IpAddr, at: Timestamp) -> Key {
        match self.bound.get(&peer) {
            Some(bound) if at < bound.until => Key::Mac(bound.mac),
            _ => Key::Address(peer),
        }
    }

    fn bind(&mut self, peer: IpAddr, mac: Mac, until: Timestamp) {
        if self.bound.len() >= MAX_BOUND
            && !self.bound.contains_key(&peer)
            && let Some(first) = self.bound.iter().min_by_key(|(_, bound)| bound.until).map(|(peer, _)| *peer)
        {
            self.bound.remove(&first);
        }
        self.bound.insert(peer, Bound { mac, until });
    }

    /// Writes on the page of `key`: into its last attempt if this step goes on with that, else into a new one. Returns the
    /// attempt's id.
    fn write(&mut self, key: Key, role: Role, name: &str, at: Timestamp, note: impl FnOnce(&mut Attempt)) -> u64 {
        let page = self.pages.entry(key).or_default();
        let goes_on = page.attempts.back().is_some_and(|attempt| attempt.goes_on(role, name, at));
        if !goes_on {
            self.last_id += 1;
            page.attempts.push_back(Attempt::new(self.last_id, at));
        }
        let mut written = self.last_id;
        if let Some(attempt) = page.attempts.back_mut() {
            note(attempt);
            written = attempt.id;
        }
        self.mark(written, Some(key));
        self.settle(key);
        written
    }

    /// What `from` did last was the machine `to`, whose script has just told so.
    fn take_over(&mut self, from: Key, to: Key, at: Timestamp) {
        let Some(page) = self.pages.get_mut(&from) else { return };
        // What another MAC's page has may well be that machine's own: only an attempt that no MAC was told of moves.
        let may_move = |attempt: &Attempt| {
            let told = attempt.scripted || attempt.steps.iter().any(|step| step.role == Role::Dhcp);
            attempt.stage <= Stage::Script
                && !attempt.is_quiet(AFRESH, at)
                && (matches!(from, Key::Address(_)) || !told)
        };
        if !page.attempts.back().is_some_and(may_move) {
            return;
        }
        let Some(attempt) = page.attempts.pop_back() else { return };
        self.settle(from);
        let moved = attempt.id;
        let target = self.pages.entry(to).or_default();
        let goes_on =
            |current: &Attempt| attempt.steps.iter().all(|step| current.goes_on(step.role, &step.name, step.began));
        let into = match target.attempts.back_mut() {
            Some(current) if goes_on(current) => {
                current.absorb(attempt);
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

    /// Puts a page that was written on in order, and forgets what is too much.
    fn settle(&mut self, key: Key) {
        let Some(page) = self.pages.get_mut(&key) else { return };
        for attempt in &mut page.attempts {
            attempt.steps.sort_by_key(|step| step.began);
        }
        page.attempts.make_contiguous().sort_by_key(|attempt| attempt.began);
        while page.attempts.len() > MAX_ATTEMPTS {
            page.attempts.pop_front();
        }
        page.last = page.attempts.iter().map(|attempt| attempt.last).max().unwrap_or(Timestamp::MIN);
        let weight = page.attempts.iter().map(Attempt::weight).sum();
        self.weight = self.weight - std::mem::replace(&mut page.weight, weight) + weight;
        if page.attempts.is_empty() {
            self.forget(key);
        }
        while self.pages.len() > MAX_PAGES || self.weight > MAX_WEIGHT {
            let others = self.pages.iter().filter(|(other, _)| **other != key);
            let first = others.min_by_key(|(_, page)| (page.host.is_some(), page.last)).map(|(other, _)| *other);
            let Some(first) = first else { break };
            self.forget(first);
        }
    }

    fn forget(&mut self, key: Key) {
        if let Some(page) = self.pages.remove(&key) {
            self.weight -= page.weight;
        }
    }
}

impl Page {
    /// When anything of it last happened.
    pub(super) fn last(&self) -> Timestamp {
        self.last
    }
}

impl Default for Page {
    fn default() -> Self {
        Self { host: None, address: None, attempts: VecDeque::new(), weight: 0, last: Timestamp::MIN }
    }
}

/// `pause` after `at`, within the times that there are.
fn later(at: Timestamp, pause: SignedDuration) -> Timestamp {
    at.saturating_add(pause).unwrap_or(at)
}
