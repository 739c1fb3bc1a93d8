//! Which machine an event belongs to, and how operators find it.

use super::*;
use crate::boot::ledger::query::MachineQuery;

const KEY: MachineKey = MachineKey::Mac(MAC);

/// A DHCP answer to a card of the host `name`.
fn offer(scenario: &mut Scenario, mac: Mac, name: &str) {
    scenario.index.record_offer(&with_mac(mac), Some(&cards(name)), 7, "snponly.efi", false, scenario.now);
}

/// The MACs of a machine, the last seen first.
fn macs(scenario: &Scenario, key: MachineKey) -> Vec<Mac> {
    scenario.index.machine(&key).map(|machine| machine.identity.macs.clone()).unwrap_or_default()
}

#[test]
fn reassigned_address_moves_open_attempt() {
    let mut scenario = Scenario::new();
    scenario.ipxe(MAC, PEER_A);
    scenario.wait(4 * 3600);
    // The lease moved to another machine, whose firmware is seen first.
    scenario.tftp(PEER_A, "undionly.kpxe");
    assert_eq!(scenario.boots(MachineKey::Mac(MAC)).len(), 2);
    scenario.script(Some(MAC_B), PEER_A, &[(Role::Kernel, "k")]);
    assert_eq!(scenario.boots(MachineKey::Mac(MAC_B)), ["nbp:undionly.kpxe"]);
    assert_eq!(scenario.boots(MachineKey::Mac(MAC)), [BY_IPXE], "the first machine keeps its own boot");
    scenario.http(PEER_A, "k");
    assert_eq!(scenario.boots(MachineKey::Mac(MAC_B)), ["nbp:undionly.kpxe kernel:k"]);
}

#[test]
fn open_transfer_follows_moved_attempt() {
    let mut scenario = Scenario::new();
    scenario.dhcp(MAC, "snponly.efi");
    scenario.tftp(PEER_A, "snponly.efi");
    let script = scenario.open(Protocol::Http, PEER_A, "ipxe");
    scenario.script(Some(MAC), PEER_A, &[(Role::Kernel, "k")]);
    scenario.close(script, Outcome::Complete, 300);
    let boot = scenario.boot(MachineKey::Mac(MAC));
    assert_eq!(scenario.boots(MachineKey::Mac(MAC)), ["dhcp:snponly.efi nbp:snponly.efi script:ipxe"]);
    assert_eq!((boot.steps[2].bytes, boot.is_open()), (300, false));
}

#[test]
fn address_binding_expires() {
    let mut scenario = Scenario::new();
    scenario.ipxe(MAC, PEER_A);
    scenario.wait(25 * 3600);
    scenario.http(PEER_A, "rpms/a.rpm");
    assert_eq!(scenario.boots(at(PEER_A)), ["asset:rpms/a.rpm"]);
    assert_eq!(scenario.index.find(&MachineQuery::new(PEER_A)), [at(PEER_A)]);
}

#[test]
fn neighbour_binds_address_before_script() {
    let mut scenario = Scenario::new();
    scenario.dhcp(MAC, "snponly.efi");
    assert!(scenario.index.is_unknown(ip(PEER_A), scenario.now));
    scenario.index.record_neighbour(ip(PEER_A), MAC, None, scenario.now);
    scenario.tftp(PEER_A, "snponly.efi");
    assert_eq!(scenario.boots(MachineKey::Mac(MAC)), ["dhcp:snponly.efi nbp:snponly.efi"]);
    scenario.wait(61);
    assert!(scenario.index.is_unknown(ip(PEER_A), scenario.now), "the lease may have moved");
}

#[test]
fn machine_is_found_by_every_spelling() {
    let ledger = Ledger::in_memory();
    let query =
        "mac=24:6e:96:00:00:01&uuid=4c4c4544-0042-3110-8043-b2c04f564232&serial=ABC1234&asset=Rack+7&platform=efi";
    record(&ledger, &Machine::from_query(query), "::ffff:192.0.2.7", Some("r630-01"), ScriptKind::Files, &[]);
    for query in
        ["r630-01", "R630-01", "246E.9600.0001", PEER_A, "44454c4c420010318043b2c04f564232", "abc1234", "rack 7"]
    {
        let found = ledger.machine(query, &HashMap::new()).unwrap_or_else(|| panic!("{query} is not found"));
        assert_eq!((found.mac, found.boots.len()), (Some(MAC), 1));
    }
    assert_eq!(ledger.machine("r630-02", &HashMap::new()), None);
    assert_eq!(ledger.machine(PEER_B, &HashMap::new()), None);
    let all = ledger.machines(&HashMap::new());
    assert_eq!((all.len(), all[0].boots.len(), all[0].state), (1, 0, Some(State::Booting)));
    assert_eq!((all[0].identity.platform.as_deref(), all[0].needs_attention), (Some("efi"), false));
}

#[test]
fn second_card_is_same_machine() {
    let mut scenario = Scenario::new();
    offer(&mut scenario, MAC, "r630-01");
    scenario.wait(20);
    // The first card gets no further, and the firmware tries the second one.
    offer(&mut scenario, MAC_B, "r630-01");
    scenario.index.record_neighbour(ip(PEER_B), MAC_B, Some(&cards("r630-01")), scenario.now);
    scenario.tftp(PEER_B, "snponly.efi");
    scenario.script_for(&with_mac(MAC_B), Some("r630-01"), PEER_B, ScriptKind::Local, &[]);
    scenario.http(PEER_B, "ipxe");
    assert_eq!(scenario.index.machines().count(), 1);
    assert_eq!(scenario.boots(KEY), ["dhcp:snponly.efi*2 nbp:snponly.efi script:ipxe"]);
    assert_eq!((scenario.status(KEY).state, macs(&scenario, KEY)), (State::Done, vec![MAC_B, MAC]));
    // Also after a restart of the server.
    scenario.index = Index::from_lines(scenario.index.all_lines()).with_changes();
    scenario.wait(7200);
    offer(&mut scenario, MAC_B, "r630-01");
    assert_eq!((scenario.index.machines().count(), scenario.boot(KEY).number), (1, 2));
    assert!(scenario.index.forget(KEY));
    offer(&mut scenario, MAC_B, "r630-01");
    assert_eq!(scenario.boot(MachineKey::Mac(MAC_B)).number, 1, "it is a machine of its own");
}

#[test]
fn stranger_becomes_card_of_host() {
    let mut scenario = Scenario::new();
    scenario.ipxe(MAC, PEER_A);
    // A card that the operator has not listed, of a machine that has a host by its serial number.
    scenario.script_for(&with_mac(MAC_B), None, PEER_B, ScriptKind::Unknown, &[]);
    scenario.wait(7200);
    scenario.dhcp(MAC_B, "snponly.efi");
    assert_eq!(scenario.index.machines().count(), 2);
    let open = scenario.open(Protocol::Http, PEER_B, "ipxe");
    scenario.script_for(&with_mac(MAC_B), Some("r630-01"), PEER_B, ScriptKind::Local, &[]);
    scenario.close(open, Outcome::Complete, SIZE);
    assert_eq!(scenario.index.machines().count(), 1);
    let numbers: Vec<_> = scenario.index.machine(&KEY).unwrap().attempts.iter().map(|attempt| attempt.number).collect();
    assert_eq!(numbers, [1, 2, 3]);
    assert_eq!(scenario.boots(KEY)[2], "dhcp:snponly.efi script:ipxe");
    // The journal has each boot once.
    let lines = scenario.index.all_lines();
    assert_eq!(Index::from_lines(lines).machine(&KEY).unwrap().attempts.len(), 3);
}

#[test]
fn card_moves_to_another_host() {
    let mut scenario = Scenario::new();
    offer(&mut scenario, MAC, "r630-01");
    offer(&mut scenario, MAC_B, "r630-01");
    scenario.wait(60);
    offer(&mut scenario, MAC_B, "r630-02");
    assert_eq!((macs(&scenario, KEY), macs(&scenario, MachineKey::Mac(MAC_B))), (vec![MAC], vec![MAC_B]));
    // A host that got another name stays the same machine.
    offer(&mut scenario, MAC_B, "r630-03");
    assert_eq!(scenario.index.machine(&MachineKey::Mac(MAC_B)).unwrap().host.as_deref(), Some("r630-03"));
    assert_eq!(scenario.index.machines().count(), 2);
}

#[test]
fn cards_of_machine_are_bounded() {
    let mut scenario = Scenario::new();
    for number in 0..100 {
        offer(&mut scenario, Mac([2, 0, 0, 0, 0, number]), "r630-01");
    }
    let first = MachineKey::Mac(Mac([2, 0, 0, 0, 0, 0]));
    assert_eq!((scenario.index.machines().count(), macs(&scenario, first).len()), (1, 8));
}

#[test]
fn machine_switched_off_needs_no_attention() {
    let mut scenario = Scenario::new();
    scenario.script_for(&with_mac(MAC), None, PEER_A, ScriptKind::Unknown, &[]);
    let attention = |scenario: &Scenario| {
        let machine = scenario.index.machine(&KEY).unwrap();
        let status = MachineStatus::of(&KEY, machine, &HashMap::new(), scenario.now);
        (status.state.unwrap().as_str(), status.needs_attention)
    };
    assert_eq!(attention(&scenario), ("waiting", true));
    scenario.wait(600);
    assert_eq!(attention(&scenario), ("stuck", true), "it gave up, and is still no host");
    scenario.wait(25 * 3600);
    assert_eq!(attention(&scenario), ("stuck", false));
}

#[test]
fn forgotten_machine_starts_again() {
    let mut scenario = Scenario::new();
    scenario.script(Some(MAC), PEER_A, &[(Role::Kernel, "k")]);
    let open = scenario.open(Protocol::Http, PEER_A, "k");
    scenario.index.take_changes();
    assert!(scenario.index.forget(KEY));
    assert!(!scenario.index.forget(KEY), "there is none any more");
    assert_eq!(scenario.index.take_changes(), [Line::Gone(1)]);
    assert!(scenario.index.is_unknown(ip(PEER_A), scenario.now), "its address may be another machine's now");
    scenario.close(open, Outcome::Complete, SIZE);
    assert_eq!(scenario.boots(KEY), [""; 0]);
    scenario.ipxe(MAC, PEER_A);
    assert_eq!(scenario.boot(KEY).number, 1);
}

#[test]
fn forgotten_machine_does_not_return() {
    let mut scenario = Scenario::new();
    let mut lines = Vec::new();
    for _ in 0..MAX_ATTEMPTS + 3 {
        scenario.ipxe(MAC, PEER_A);
        scenario.wait(4 * 3600);
        lines.extend(scenario.index.take_changes());
    }
    // It is switched off while it reads a file.
    let reads = scenario.open(Protocol::Http, PEER_A, "k");
    assert!(scenario.index.forget(KEY));
    scenario.close(reads, Outcome::Timeout, 0);
    assert_eq!(scenario.index.machines().count(), 0);
    lines.extend(scenario.index.take_changes());
    assert_eq!(Index::from_lines(lines).machines().count(), 0, "after a restart");
}
