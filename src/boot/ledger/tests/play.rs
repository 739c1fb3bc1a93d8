//! Events of a boot as data, and the verdict on them.

use super::*;

pub(super) const KEY: MachineKey = MachineKey::Mac(MAC);

/// One event, from the address of the last [`Event::At`].
#[derive(Debug, Clone, Copy)]
pub(super) enum Event {
    /// A DHCP answer of this server.
    Dhcp(&'static str),
    /// The machine has this address from now on, and the neighbour table has it.
    At(&'static str),
    /// As [`Event::At`], but the neighbour table does not have it: the machine is behind a router.
    Routed(&'static str),
    /// A whole file over TFTP.
    Tftp(&'static str),
    /// A whole file over HTTP.
    Http(&'static str),
    /// A request that asks for the size, by TFTP's `tsize` or by HEAD.
    Size(Protocol, &'static str),
    /// A range of 200 of the 1,000 bytes of a file, over HTTP.
    Range(&'static str),
    /// A request that ends like this after 100 bytes.
    Fails(Protocol, &'static str, Outcome),
    /// A request for a name that nothing names, and that does not exist.
    Missing(Protocol, &'static str),
    /// A request for a file of the catalog that its source does not have.
    Gone(&'static str),
    /// A request over TFTP that the client forgets: it ends by timeout after everything else.
    Forgotten(&'static str),
    /// A script for the machine over HTTP.
    Script(Kind, &'static [(Role, &'static str)]),
    /// A configuration of GRUB, PXELINUX or U-Boot over TFTP, made for the machine.
    Config(&'static str, &'static [(Role, &'static str)]),
    /// Seconds.
    Wait(i64),
}
use Event::{At, Config, Dhcp, Fails, Forgotten, Gone, Http, Missing, Range, Routed, Script, Size, Tftp, Wait};

/// [`ScriptKind`] without texts.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    Files,
    Image,
    Menu,
    Local,
    Elsewhere,
    Unknown,
    Waits,
    Failed,
}

impl From<Kind> for ScriptKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Files => Self::Files,
            Kind::Image => Self::Image,
            Kind::Menu => Self::Menu,
            Kind::Local => Self::Local,
            Kind::Elsewhere => Self::Elsewhere,
            Kind::Unknown => Self::Unknown,
            Kind::Waits => Self::Waits("the release okd-2 is not cached yet".to_owned()),
            Kind::Failed => Self::Failed("worker.j2:3: undefined variable".to_owned()),
        }
    }
}

impl Scenario {
    /// Plays the events. Forgotten requests end at last.
    pub(super) fn play(&mut self, events: &[Event]) {
        let mut peer = PEER_A;
        let mut is_neighbour = false;
        let mut forgotten = Vec::new();
        for event in events {
            // As the ledger does before each transfer.
            if is_neighbour && self.index.is_unknown(ip(peer), self.now) {
                self.index.record_neighbour(ip(peer), MAC, None, self.now);
            }
            match *event {
                Dhcp(file) => self.dhcp(MAC, file),
                At(address) => (peer, is_neighbour) = (address, true),
                Routed(address) => (peer, is_neighbour) = (address, false),
                Tftp(name) => self.tftp(peer, name),
                Http(name) => self.http(peer, name),
                Size(protocol, name) => self.fetch(protocol, peer, name, Outcome::Probe, 0),
                Range(name) => self.fetch(Protocol::Http, peer, name, Outcome::Complete, 200),
                Fails(protocol, name, outcome) => self.fetch(protocol, peer, name, outcome, 100),
                Missing(protocol, name) => self.fetch(protocol, peer, name, Outcome::NotFound, 0),
                Gone(name) => {
                    let id = self.open(Protocol::Http, peer, name);
                    self.close_with(id, &EndRecord { listed: true, ..end(Outcome::NotFound, 0) });
                }
                Forgotten(name) => {
                    self.wait(1);
                    forgotten.push(self.open(Protocol::Tftp, peer, name));
                }
                Script(kind, plan) => {
                    self.wait(1);
                    self.script_of(Some(MAC), peer, kind.into(), plan);
                    self.http(peer, "ipxe");
                }
                Config(name, plan) => {
                    self.wait(1);
                    self.script_of(Some(MAC), peer, ScriptKind::Files, plan);
                    self.tftp(peer, name);
                }
                Wait(seconds) => self.wait(seconds),
            }
        }
        for id in forgotten {
            self.close(id, Outcome::Timeout, 0);
        }
    }
}

/// Plays the events and compares the number of boots and the last one's verdict: as soon as they end, and after three minutes
/// of silence. Every boot must be one of the machine with the MAC.
#[track_caller]
pub(super) fn check(events: &[Event], boots: usize, soon: State, late: (State, &str)) {
    let mut scenario = Scenario::new();
    scenario.play(events);
    let found = scenario.boots(KEY);
    assert_eq!(found.len(), boots, "boots: {found:#?}");
    assert_eq!(scenario.index.machines().count(), 1, "machines: {:?}", scenario.index.machines().collect::<Vec<_>>());
    let status = scenario.status(KEY);
    assert_eq!(status.state, soon, "at once: {status:?} of {found:?}");
    scenario.wait(181);
    let status = scenario.status(KEY);
    assert_eq!(status.state, late.0, "after silence: {status:?} of {found:?}");
    assert!(status.note.contains(late.1), "{:?} does not contain {:?}", status.note, late.1);
}

/// One boot that is done at once.
#[track_caller]
pub(super) fn done(events: &[Event]) {
    check(events, 1, State::Done, (State::Done, ""));
}

/// One boot that has failed, whose note contains `note`.
#[track_caller]
pub(super) fn failed(events: &[Event], note: &str) {
    check(events, 1, State::Failed, (State::Failed, note));
}

/// The events of several lists.
pub(super) fn all(lists: &[&[Event]]) -> Vec<Event> {
    lists.concat()
}
