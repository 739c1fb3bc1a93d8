//! The log line of each boot at its end.

use super::*;
use crate::boot::ledger::report;

const KEY: MachineKey = MachineKey::Mac(MAC);

/// The lines that are due now, as `event boot step`, and records that they were written.
fn due(scenario: &mut Scenario) -> Vec<String> {
    let now = scenario.now;
    let machine = scenario.index.machine_mut(&KEY).unwrap();
    let lines = report::due(&KEY, machine, now);
    for line in &lines {
        let attempt = machine.attempts.iter_mut().find(|attempt| attempt.id == line.attempt).unwrap();
        attempt.reported = Some(line.reported);
    }
    lines.iter().map(|line| format!("{line}")).collect()
}

fn scripted() -> Scenario {
    let mut scenario = Scenario::new();
    scenario.dhcp(MAC, "http://boot.lab/boot.ipxe");
    scenario.script(Some(MAC), PEER_A, &[(Role::Kernel, "k")]);
    scenario.http(PEER_A, "ipxe");
    scenario
}

#[test]
fn done_boot_is_logged_once() {
    let mut scenario = scripted();
    assert_eq!(due(&mut scenario), [""; 0]);
    scenario.http(PEER_A, "k");
    assert_eq!(due(&mut scenario), ["boot done: r630-01 24:6e:96:00:00:01 #1"]);
    assert_eq!(due(&mut scenario), [""; 0]);
    // The system goes on fetching files.
    scenario.http(PEER_A, "rpms/a.rpm");
    assert_eq!(due(&mut scenario), [""; 0]);
    scenario.wait(4000);
    assert_eq!(due(&mut scenario), [""; 0]);
}

#[test]
fn failed_boot_is_logged_after_retries() {
    let mut scenario = scripted();
    scenario.fetch(Protocol::Http, PEER_A, "k", Outcome::OriginFailed, 0);
    scenario.wait(5);
    assert_eq!(due(&mut scenario), [""; 0], "the boot loader may repeat it");
    scenario.fetch(Protocol::Http, PEER_A, "k", Outcome::OriginFailed, 0);
    scenario.wait(11);
    assert_eq!(due(&mut scenario), ["boot failed: r630-01 24:6e:96:00:00:01 #1 kernel k"]);
    scenario.fetch(Protocol::Http, PEER_A, "k", Outcome::OriginFailed, 0);
    scenario.wait(300);
    assert_eq!(due(&mut scenario), [""; 0], "it has failed already");
    scenario.http(PEER_A, "k");
    assert_eq!(due(&mut scenario), ["boot done: r630-01 24:6e:96:00:00:01 #1"]);
}

#[test]
fn stuck_and_ended_boots_are_logged() {
    let mut scenario = scripted();
    scenario.wait(181);
    assert_eq!(due(&mut scenario), ["boot stuck: r630-01 24:6e:96:00:00:01 #1 kernel k"]);
    // The next power-on ends the boot before it, whatever that waited for.
    scenario.dhcp(MAC, "http://boot.lab/boot.ipxe");
    scenario.script(Some(MAC), PEER_A, &[(Role::Kernel, "k")]);
    scenario.dhcp(MAC, "http://boot.lab/boot.ipxe");
    assert_eq!(due(&mut scenario), ["boot stuck: r630-01 24:6e:96:00:00:01 #2 kernel k"]);
    assert_eq!(scenario.boot(KEY).number, 3);
}

#[test]
fn restart_logs_no_boot_again() {
    let mut scenario = scripted();
    scenario.http(PEER_A, "k");
    assert_eq!(due(&mut scenario).len(), 1);
    scenario.index = Index::from_lines(scenario.index.all_lines());
    assert_eq!(due(&mut scenario), [""; 0]);
    // A ledger of a version without these lines.
    let mut lines = scenario.index.all_lines();
    for line in &mut lines {
        if let Line::Boot { boot, .. } = line {
            (boot.number, boot.reported) = (0, None);
        }
    }
    scenario.index = Index::from_lines(lines);
    assert_eq!(due(&mut scenario), [""; 0]);
    assert_eq!(scenario.boot(KEY).number, 1);
}

#[test]
fn boot_numbers_count_per_machine() {
    let mut scenario = Scenario::new();
    for _ in 0..MAX_ATTEMPTS + 3 {
        scenario.ipxe(MAC, PEER_A);
        scenario.wait(7200);
    }
    scenario.ipxe(MAC_B, PEER_B);
    let last = MAX_ATTEMPTS as u64 + 3;
    assert_eq!(scenario.boot(KEY).number, last);
    assert_eq!(scenario.boot(MachineKey::Mac(MAC_B)).number, 1, "also after it moved from its address");
    scenario.index = Index::from_lines(scenario.index.all_lines());
    scenario.ipxe(MAC, PEER_A);
    assert_eq!(scenario.boot(KEY).number, last + 1);
}
