//! Clients that name a machine that is another one.

use super::*;
use crate::boot::ledger::index::MAX_OF_ADDRESS;
use crate::boot::ledger::query::MachineQuery;

const KEY: MachineKey = MachineKey::Mac(MAC);
const PLAN: &[(Role, &str)] = &[(Role::Kernel, "okd/kernel"), (Role::Initrd, "okd/initrd")];

/// A host that the operator matches by its serial number, or also by `macs`.
fn by_serial(macs: &[Mac]) -> HostCards {
    HostCards { name: "r630-01".to_owned(), macs: macs.to_vec() }
}

/// A script for a machine that the roster says is `host`.
fn claim(scenario: &mut Scenario, query: &str, host: &HostCards, peer: &str) {
    let machine = Machine::from_query(query);
    let (host, near_miss, profile, kind) = (Some(host), None, Some("worker"), ScriptKind::Files);
    let script = SentScript { machine: &machine, peer: ip(peer), host, near_miss, profile, kind, named: &[] };
    scenario.index.record_script(script, scenario.now);
}

/// The outcome of each other address in the last boot.
fn addresses(scenario: &Scenario) -> Vec<(String, Option<Outcome>)> {
    let steps = scenario.boot(KEY).steps.iter().filter(|step| step.role == Role::Address);
    steps.map(|step| (step.name.clone(), step.outcome)).collect()
}

#[test]
fn stranger_leaves_boot_under_way() {
    let mut scenario = Scenario::new();
    scenario.script(Some(MAC), PEER_A, PLAN);
    scenario.http(PEER_A, "ipxe");
    scenario.http(PEER_A, "okd/kernel");
    for query in ["mac=246e96000001", "mac=246e96000001&serial=OTHER", "serial=ABC1234"] {
        claim(&mut scenario, query, &by_serial(&[MAC]), PEER_B);
        scenario.fetch(Protocol::Http, PEER_B, "okd/initrd", Outcome::Aborted, 1);
        scenario.fetch(Protocol::Tftp, PEER_B, "snponly.efi", Outcome::Timeout, 1);
    }
    scenario.http(PEER_A, "okd/initrd");
    assert_eq!((scenario.boots(KEY).len(), scenario.status(KEY).state), (1, State::Done));
    assert_eq!(addresses(&scenario), [(PEER_B.to_owned(), Some(Outcome::Refused))]);
    let record = scenario.index.machine(&KEY).unwrap();
    assert_eq!((record.identity.addresses.as_slice(), &record.identity.serial), (&[ip(PEER_A)][..], &None));
    let stranger = scenario.index.machine(&at(PEER_B)).unwrap();
    let words = stranger.identity.near_miss.as_deref().unwrap();
    assert_eq!((stranger.host.as_deref(), words), (None, "it says that it is r630-01, which boots from 192.0.2.7"));
    // Its requests do not keep the boot from being over.
    assert!(scenario.boot(KEY).last <= scenario.now);
}

#[test]
fn stranger_does_not_prolong_boot() {
    let mut scenario = Scenario::new();
    scenario.script(Some(MAC), PEER_A, PLAN);
    let last = scenario.boot(KEY).last;
    for _ in 0..100 {
        scenario.wait(10);
        claim(&mut scenario, "mac=246e96000001", &by_serial(&[MAC]), PEER_B);
    }
    assert_eq!((scenario.boot(KEY).last, scenario.status(KEY).state), (last, State::Stuck));
}

#[test]
fn address_jump_with_proof_is_followed() {
    let mut scenario = Scenario::new();
    scenario.script(Some(MAC), PEER_A, &[]);
    scenario.http(PEER_A, "ipxe");
    scenario.script(Some(MAC), PEER_B, PLAN);
    // The neighbour table is read once its transfer begins.
    scenario.index.record_neighbour(ip(PEER_B), MAC, Some(&cards("r630-01")), scenario.now);
    for name in ["ipxe", "okd/kernel", "okd/initrd"] {
        scenario.http(PEER_B, name);
    }
    assert_eq!((scenario.boots(KEY).len(), scenario.status(KEY).state), (1, State::Done));
    assert_eq!(addresses(&scenario), [(PEER_B.to_owned(), Some(Outcome::Complete))]);
    assert_eq!(scenario.index.machines().count(), 1);
}

#[test]
fn squatter_loses_to_proven_machine() {
    let mut scenario = Scenario::new();
    claim(&mut scenario, "mac=246e96000001", &by_serial(&[MAC]), PEER_B);
    scenario.index.record_neighbour(ip(PEER_A), MAC, Some(&cards("r630-01")), scenario.now);
    scenario.script(Some(MAC), PEER_A, PLAN);
    for name in ["ipxe", "okd/kernel", "okd/initrd"] {
        scenario.http(PEER_A, name);
        scenario.fetch(Protocol::Http, PEER_B, name, Outcome::Aborted, 1);
    }
    assert_eq!(scenario.status(KEY).state, State::Done);
    assert_eq!(scenario.boot(KEY).address, Some(ip(PEER_A)));
}

#[test]
fn serial_number_merges_no_machines() {
    for macs in [&[MAC][..], &[]] {
        let mut scenario = Scenario::new();
        claim(&mut scenario, "mac=246e96000001&serial=ABC1234", &by_serial(macs), PEER_A);
        scenario.wait(1);
        claim(&mut scenario, "mac=246e96000002&serial=ABC1234", &by_serial(macs), PEER_B);
        let (own, other) = (scenario.index.machine(&KEY), scenario.index.machine(&MachineKey::Mac(MAC_B)));
        let (own, other) = (own.unwrap(), other.unwrap());
        assert_eq!((own.host.as_deref(), own.identity.macs.as_slice()), (Some("r630-01"), &[MAC][..]));
        assert_eq!((own.attempts.len(), other.host.as_deref()), (1, None));
        assert!(other.identity.near_miss.as_deref().unwrap().starts_with("it says that it is r630-01"));
        assert_eq!(scenario.index.find(&MachineQuery::new("ABC1234")), [KEY], "the host comes first");
    }
}

#[test]
fn strangers_of_address_are_bounded() {
    let mut scenario = Scenario::new();
    scenario.script_for(&with_mac(MAC), None, PEER_A, ScriptKind::Unknown, &[]);
    for number in 0..MAX_MACHINES + 10 {
        let [.., high, low] = number.to_be_bytes();
        scenario.wait(1);
        scenario.script_for(&with_mac(Mac([2, 0, 0, 1, high, low])), None, PEER_B, ScriptKind::Unknown, &[]);
    }
    assert_eq!(scenario.index.machines().count(), MAX_OF_ADDRESS + 1);
    assert!(scenario.index.machine(&KEY).is_some(), "another address keeps its own");
}
