//! Scenarios of booting machines, recorded in an index with simulated time.

mod claims;
mod journal;
mod machines;
mod many_files;
mod play;
mod random;
mod reports;
mod sequences;
mod status;

use std::collections::HashMap;
use std::net::IpAddr;
use std::path::Path;

use jiff::{SignedDuration, Timestamp};

use super::attempt::Attempt;
use super::end_record::EndRecord;
use super::handle::now;
use super::index::{Index, MAX_ATTEMPTS, MAX_MACHINES, MAX_WEIGHT, TransferStart};
use super::key::MachineKey;
use super::line::Line;
use super::status::AttemptStatus;
use super::*;
use crate::boot::mac::Mac;
use crate::boot::machine::Machine;
use crate::boot::role::Role;
use crate::depot::{CacheState, Outcome, Protocol};

const MAC: Mac = Mac([0x24, 0x6e, 0x96, 0, 0, 1]);
const MAC_B: Mac = Mac([0x24, 0x6e, 0x96, 0, 0, 2]);
const PEER_A: &str = "192.0.2.7";
const PEER_B: &str = "192.0.2.8";
/// The size of every asset.
const SIZE: u64 = 1000;

/// An index and the simulated time.
struct Scenario {
    index: Index,
    now: Timestamp,
    last_id: u64,
    /// When each transfer began.
    began: HashMap<u64, Timestamp>,
}

impl Scenario {
    fn new() -> Self {
        Self {
            index: Index::default().with_changes(),
            now: "2026-11-21T14:00:00Z".parse().unwrap(),
            last_id: 0,
            began: HashMap::new(),
        }
    }

    fn wait(&mut self, seconds: i64) {
        self.now = self.now.saturating_add(SignedDuration::from_secs(seconds)).unwrap();
    }

    fn dhcp(&mut self, mac: Mac, file: &str) {
        self.wait(1);
        self.index.record_offer(&with_mac(mac), None, 7, file, false, self.now);
    }

    /// UEFI requests the answer again on port 4011 once it has its address.
    fn dhcp_confirm(&mut self, mac: Mac, file: &str) {
        self.wait(1);
        self.index.record_offer(&with_mac(mac), None, 7, file, true, self.now);
    }

    fn script(&mut self, mac: Option<Mac>, peer: &str, plan: &[(Role, &str)]) {
        self.script_of(mac, peer, ScriptKind::Files, plan);
    }

    fn script_of(&mut self, mac: Option<Mac>, peer: &str, kind: ScriptKind, plan: &[(Role, &str)]) {
        let plan: Vec<_> = plan.iter().map(|(role, name)| (*role, (*name).to_owned())).collect();
        let host = mac.map(|mac| format!("r630-{:02}", mac.0[5]));
        self.script_for(&Machine { mac, ..Machine::default() }, host.as_deref(), peer, kind, &plan);
    }

    /// A script of the profile `worker`.
    fn script_for(
        &mut self,
        machine: &Machine,
        host: Option<&str>,
        peer: &str,
        kind: ScriptKind,
        named: &[(Role, String)],
    ) {
        let peer = ip(peer);
        let host = host.map(cards);
        let host = host.as_ref();
        let script = SentScript { machine, peer, host, near_miss: None, profile: Some("worker"), kind, named };
        self.index.record_script(script, self.now);
    }

    /// Starts a transfer and returns its id.
    fn open(&mut self, protocol: Protocol, peer: &str, name: &str) -> u64 {
        self.last_id += 1;
        self.began.insert(self.last_id, self.now);
        self.index.transfer_began(&TransferStart { id: self.last_id, protocol, peer: ip(peer), name, at: self.now });
        self.last_id
    }

    fn close(&mut self, id: u64, outcome: Outcome, bytes: u64) {
        self.close_with(id, &end(outcome, bytes));
    }

    fn close_with(&mut self, id: u64, ending: &EndRecord) {
        let at = self.began.get(&id).copied().unwrap_or(self.now);
        let begun = TransferStart { id, protocol: Protocol::Http, peer: ip(PEER_A), name: "?", at };
        self.index.transfer_ended(&begun, ending, self.now);
    }

    /// A transfer that takes one second.
    fn fetch(&mut self, protocol: Protocol, peer: &str, name: &str, outcome: Outcome, bytes: u64) {
        self.wait(1);
        let id = self.open(protocol, peer, name);
        self.wait(1);
        self.close(id, outcome, bytes);
    }

    fn tftp(&mut self, peer: &str, name: &str) {
        self.fetch(Protocol::Tftp, peer, name, Outcome::Complete, SIZE);
    }

    fn http(&mut self, peer: &str, name: &str) {
        self.fetch(Protocol::Http, peer, name, Outcome::Complete, SIZE);
    }

    /// A boot over iPXE, from the network boot program to the initrd.
    fn ipxe(&mut self, mac: Mac, peer: &str) {
        self.fetch(Protocol::Tftp, peer, "snponly.efi", Outcome::Probe, 0);
        self.tftp(peer, "snponly.efi");
        self.tftp(peer, "autoexec.ipxe");
        self.script(Some(mac), peer, &[(Role::Kernel, "okd/kernel"), (Role::Initrd, "okd/initrd")]);
        self.http(peer, "ipxe");
        self.http(peer, "okd/kernel");
        self.http(peer, "okd/initrd");
    }

    /// The boots of a machine: `role:name*requests` of each step.
    fn boots(&self, key: MachineKey) -> Vec<String> {
        let step = |step: &super::step::Step| match step.requests {
            1 => format!("{}:{}", step.role.as_str(), step.name),
            many => format!("{}:{}*{many}", step.role.as_str(), step.name),
        };
        let boot = |attempt: &Attempt| attempt.steps.iter().map(step).collect::<Vec<_>>().join(" ");
        self.index.machine(&key).map(|machine| machine.attempts.iter().map(boot).collect()).unwrap_or_default()
    }

    fn boot(&self, key: MachineKey) -> &Attempt {
        self.index.machine(&key).and_then(|machine| machine.attempts.back()).unwrap()
    }

    fn status(&self, key: MachineKey) -> AttemptStatus {
        AttemptStatus::of(self.boot(key), self.now)
    }
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// Records a DHCP answer and a script.
fn record(
    ledger: &Ledger,
    machine: &Machine,
    peer: &str,
    host: Option<&str>,
    kind: ScriptKind,
    named: &[(Role, String)],
) {
    let host = host.map(cards);
    let host = host.as_ref();
    ledger.record_offer(machine, host, 7, "snponly.efi", false);
    let near_miss = None;
    ledger.record_script(SentScript { machine, peer: ip(peer), host, near_miss, profile: Some("worker"), kind, named });
}

/// A host whose cards the operator has all listed.
fn cards(name: &str) -> HostCards {
    let macs = (0..100).flat_map(|number| [Mac([0x24, 0x6e, 0x96, 0, 0, number]), Mac([2, 0, 0, 0, 0, number])]);
    HostCards { name: name.to_owned(), macs: macs.collect() }
}

fn at(peer: &str) -> MachineKey {
    MachineKey::Address(ip(peer))
}

fn with_mac(mac: Mac) -> Machine {
    Machine { mac: Some(mac), ..Machine::default() }
}

fn end(outcome: Outcome, bytes: u64) -> EndRecord {
    EndRecord {
        outcome,
        reason: None,
        listed: outcome != Outcome::NotFound,
        cache: Some(CacheState::Hit),
        bytes,
        size: Some(SIZE),
    }
}

const BY_IPXE: &str = "nbp:snponly.efi*2 script:autoexec.ipxe script:ipxe kernel:okd/kernel initrd:okd/initrd";

#[test]
fn boot_over_ipxe_records_every_step() {
    let mut scenario = Scenario::new();
    scenario.dhcp(MAC, "snponly.efi");
    scenario.dhcp(MAC, "snponly.efi");
    scenario.ipxe(MAC, PEER_A);
    assert_eq!(scenario.boots(MachineKey::Mac(MAC)), [format!("dhcp:snponly.efi*2 {BY_IPXE}")]);
    assert_eq!(scenario.boots(at(PEER_A)), [""; 0], "the steps of the address moved to the machine");
    assert_eq!(scenario.status(MachineKey::Mac(MAC)).state, State::Done);
    assert_eq!(scenario.boot(MachineKey::Mac(MAC)).profile.as_deref(), Some("worker"));
    assert_eq!(scenario.index.machine(&MachineKey::Mac(MAC)).unwrap().host.as_deref(), Some("r630-01"));
}

#[test]
fn boot_includes_dhcp_of_ipxe() {
    let mut scenario = Scenario::new();
    scenario.dhcp(MAC, "snponly.efi");
    scenario.tftp(PEER_A, "snponly.efi");
    scenario.dhcp(MAC, "http://boot.lab/boot.ipxe");
    scenario.http(PEER_A, "boot.ipxe");
    scenario.script(Some(MAC), PEER_A, &[(Role::Kernel, "k")]);
    scenario.http(PEER_A, "ipxe");
    let expected = "dhcp:snponly.efi nbp:snponly.efi dhcp:http://boot.lab/boot.ipxe script:boot.ipxe script:ipxe";
    assert_eq!(scenario.boots(MachineKey::Mac(MAC)), [expected]);
}

#[test]
fn dhcp_confirmation_is_not_counted() {
    let mut scenario = Scenario::new();
    scenario.dhcp(MAC, "snponly.efi");
    scenario.dhcp_confirm(MAC, "snponly.efi");
    assert_eq!(scenario.boots(MachineKey::Mac(MAC)), ["dhcp:snponly.efi"]);
    let boot = scenario.boot(MachineKey::Mac(MAC));
    assert_eq!((boot.steps[0].last, boot.steps[0].completed), (scenario.now, 1));
    scenario.dhcp(MAC, "snponly.efi");
    assert_eq!(scenario.boots(MachineKey::Mac(MAC)), ["dhcp:snponly.efi*2"], "a new offer counts");
    // The offer came from another server, or from this one before a restart.
    scenario.dhcp_confirm(MAC_B, "snponly.efi");
    assert_eq!(scenario.boots(MachineKey::Mac(MAC_B)), ["dhcp:snponly.efi"]);
}

#[test]
fn restart_begins_new_boot() {
    let mut scenario = Scenario::new();
    scenario.ipxe(MAC, PEER_A);
    scenario.wait(30);
    scenario.ipxe(MAC, PEER_A);
    assert_eq!(scenario.boots(MachineKey::Mac(MAC)), [BY_IPXE; 2], "by its network boot program");

    scenario.dhcp(MAC, "snponly.efi");
    scenario.ipxe(MAC, PEER_A);
    assert_eq!(scenario.boots(MachineKey::Mac(MAC))[2..], [format!("dhcp:snponly.efi {BY_IPXE}")], "by DHCP");

    // iPXE from a USB stick requests the entry script without DHCP.
    scenario.http(PEER_A, "boot.ipxe");
    assert_eq!(scenario.boots(MachineKey::Mac(MAC))[3..], ["script:boot.ipxe"], "by its entry script");
}

#[test]
fn repeated_script_continues_boot() {
    let mut scenario = Scenario::new();
    scenario.http(PEER_A, "boot.ipxe");
    for _ in 0..3 {
        scenario.script_of(Some(MAC), PEER_A, ScriptKind::Unknown, &[]);
        scenario.http(PEER_A, "ipxe");
        scenario.wait(600);
    }
    assert_eq!(scenario.boots(MachineKey::Mac(MAC)), ["script:boot.ipxe script:ipxe*3"]);

    // After a failed kernel, iPXE requests its script again within the minute.
    scenario.script(Some(MAC), PEER_A, &[(Role::Kernel, "k")]);
    scenario.http(PEER_A, "ipxe");
    scenario.fetch(Protocol::Http, PEER_A, "k", Outcome::OriginFailed, 0);
    scenario.script(Some(MAC), PEER_A, &[(Role::Kernel, "k")]);
    scenario.http(PEER_A, "ipxe");
    scenario.http(PEER_A, "k");
    assert_eq!(scenario.boots(MachineKey::Mac(MAC)), ["script:boot.ipxe script:ipxe*5 kernel:k*2"]);
    assert_eq!(scenario.status(MachineKey::Mac(MAC)).state, State::Done);
}

#[test]
fn nbp_after_pause_begins_new_boot() {
    let mut scenario = Scenario::new();
    scenario.tftp(PEER_A, "undionly.kpxe");
    scenario.wait(30);
    scenario.tftp(PEER_A, "undionly.kpxe");
    scenario.wait(90);
    scenario.tftp(PEER_A, "undionly.kpxe");
    assert_eq!(scenario.boots(at(PEER_A)), ["nbp:undionly.kpxe*2", "nbp:undionly.kpxe"]);
}

#[test]
fn concurrent_ranges_form_one_step() {
    let mut scenario = Scenario::new();
    scenario.script(Some(MAC), PEER_A, &[(Role::Asset, "isos/x.iso")]);
    let mut open = Vec::new();
    for _ in 0..4 {
        open.push(scenario.open(Protocol::Http, PEER_A, "isos/x.iso"));
        scenario.wait(1);
    }
    for id in open {
        scenario.close(id, Outcome::Complete, 200);
    }
    let boot = scenario.boot(MachineKey::Mac(MAC));
    assert_eq!((boot.steps.len(), boot.steps[0].bytes, boot.steps[0].requests), (1, 800, 4));
    assert_eq!(boot.steps[0].rate(), Some(200), "over four seconds");
}

#[test]
fn unnamed_asset_role_follows_protocol() {
    let mut scenario = Scenario::new();
    scenario.tftp(PEER_A, "shimx64.efi");
    scenario.tftp(PEER_A, "grubx64.efi");
    scenario.fetch(Protocol::Tftp, PEER_A, "grub/x86_64-efi/command.lst", Outcome::NotFound, 0);
    scenario.http(PEER_B, "okd/kernel");
    assert_eq!(scenario.boots(at(PEER_A)), ["nbp:shimx64.efi asset:grubx64.efi asset:grub/x86_64-efi/command.lst"]);
    assert_eq!(scenario.boots(at(PEER_B)), ["asset:okd/kernel"]);
    // UEFI HTTP Boot: DHCP offers a URL.
    scenario.index.record_neighbour(ip("192.0.2.9"), MAC_B, None, scenario.now);
    scenario.dhcp(MAC_B, "http://boot.lab/assets/boot/grub.efi");
    scenario.fetch(Protocol::Http, "192.0.2.9", "boot/grub.efi", Outcome::Probe, 0);
    scenario.http("192.0.2.9", "boot/grub.efi");
    assert_eq!(
        scenario.boots(MachineKey::Mac(MAC_B)),
        ["dhcp:http://boot.lab/assets/boot/grub.efi nbp:boot/grub.efi*2"]
    );
}

#[test]
fn late_script_assigns_role() {
    let mut scenario = Scenario::new();
    scenario.http(PEER_A, "k");
    scenario.script(None, PEER_A, &[(Role::Kernel, "k")]);
    assert_eq!(scenario.boots(at(PEER_A)), ["kernel:k"]);
}

#[test]
fn end_without_start_is_recorded() {
    let mut scenario = Scenario::new();
    scenario.close(99, Outcome::Complete, 7);
    assert_eq!(scenario.boots(at(PEER_A)), ["asset:?"]);
    assert!(!scenario.boot(at(PEER_A)).is_open());

    let lost = scenario.open(Protocol::Http, PEER_A, "a");
    scenario.index.close_all();
    assert!(!scenario.boot(at(PEER_A)).is_open());
    scenario.close(lost, Outcome::Complete, 7);
    assert!(!scenario.boot(at(PEER_A)).is_open());
}

#[test]
fn index_drops_oldest_boots_and_machines() {
    let mut scenario = Scenario::new();
    for _ in 0..MAX_ATTEMPTS + 5 {
        scenario.ipxe(MAC, PEER_A);
    }
    assert_eq!(scenario.boots(MachineKey::Mac(MAC)).len(), MAX_ATTEMPTS);
    scenario.dhcp(MAC_B, "x");
    for number in 0..MAX_MACHINES - 1 {
        let [_, _, high, low] = u32::try_from(number).unwrap().to_be_bytes();
        scenario.dhcp(Mac([2, 0, 0, 0, high, low]), "x");
    }
    assert_eq!(scenario.index.machines().count(), MAX_MACHINES);
    assert!(scenario.boots(MachineKey::Mac(MAC_B)).is_empty(), "it was the least recently seen");
    assert!(!scenario.boots(MachineKey::Mac(Mac([2, 0, 0, 0, 0, 0]))).is_empty());
}

#[test]
fn index_drops_unknown_machines_before_hosts() {
    let mut scenario = Scenario::new();
    scenario.ipxe(MAC, PEER_A);
    for number in 0..MAX_MACHINES + 5 {
        let [_, _, high, low] = u32::try_from(number).unwrap().to_be_bytes();
        scenario.wait(1);
        let machine = with_mac(Mac([2, 0, 0, 0, high, low]));
        scenario.script_for(&machine, None, &format!("192.0.2.{}", 100 + low % 8), ScriptKind::Unknown, &[]);
    }
    assert_eq!(scenario.index.machines().count(), MAX_MACHINES);
    assert_eq!(scenario.boots(MachineKey::Mac(MAC)), [BY_IPXE]);
    assert!(
        scenario.boots(MachineKey::Mac(Mac([2, 0, 0, 0, 0, 0]))).is_empty(),
        "the oldest machine without a host was dropped"
    );
}

#[test]
fn index_weight_is_bounded() {
    let mut scenario = Scenario::new();
    let plan: Vec<_> = (0..100).map(|number| (Role::Asset, format!("x{number}"))).collect();
    for number in 0..600 {
        let [_, _, high, low] = u32::to_be_bytes(number);
        for _ in 0..MAX_ATTEMPTS {
            scenario.wait(2 * 3600);
            let machine = with_mac(Mac([2, 0, 0, 0, high, low]));
            scenario.script_for(&machine, None, PEER_A, ScriptKind::Files, &plan);
            for name in 0..31 {
                scenario.http(PEER_A, &format!("y{name}"));
            }
        }
    }
    let machines = scenario.index.machines().count();
    let weight = scenario.index.weight;
    assert!((MAX_WEIGHT / 2..=MAX_WEIGHT).contains(&weight), "{machines} machines of {weight} bytes");
    assert!(machines < 600, "{machines} machines of {weight} bytes");
    assert!(scenario.boots(MachineKey::Mac(Mac([2, 0, 0, 0, 0, 0]))).is_empty());
    let last = MachineKey::Mac(Mac([2, 0, 0, 0, 2, 87]));
    assert_eq!(scenario.boots(last).len(), MAX_ATTEMPTS);
}

/// Requests that end at once weigh as much as they take: made-up machines with many boots of one step.
#[test]
fn weight_is_memory_of_attempts() {
    let mut scenario = Scenario::new();
    scenario.http(PEER_A, "x");
    let boot = scenario.boot(at(PEER_A));
    let least = size_of_val(boot) + size_of::<super::step::Step>() + 1;
    assert_eq!((scenario.index.weight, boot.weight()), (least, least));
}

#[test]
fn attempt_surplus_files_share_one_step() {
    let mut scenario = Scenario::new();
    for number in 0..100 {
        scenario.http(PEER_A, &format!("x{number}"));
    }
    let boot = scenario.boot(at(PEER_A));
    assert_eq!(boot.steps.len(), super::attempt::MAX_STEPS);
    assert_eq!(boot.steps.iter().map(|step| step.bytes).sum::<u64>(), 100 * SIZE);
    assert_eq!(boot.steps.iter().map(|step| step.requests).sum::<u64>(), 100);
}
