//! The status of boots, as states and notes.

use super::*;

const KEY: MachineKey = MachineKey::Mac(MAC);

fn status(scenario: &Scenario) -> (State, String) {
    let status = scenario.status(KEY);
    (status.state, status.note)
}

/// A boot up to its script, which names `plan`.
fn scripted(plan: &[(Role, &str)]) -> Scenario {
    let mut scenario = Scenario::new();
    scenario.dhcp(MAC, "snponly.efi");
    scenario.index.record_neighbour(ip(PEER_A), MAC, None, scenario.now);
    scenario.tftp(PEER_A, "snponly.efi");
    scenario.script(Some(MAC), PEER_A, plan);
    scenario.http(PEER_A, "ipxe");
    scenario
}

fn booting(note: &str) -> (State, String) {
    (State::Booting, note.to_owned())
}

fn stuck(note: &str) -> (State, String) {
    (State::Stuck, note.to_owned())
}

#[test]
fn status_silent_machine_is_stuck() {
    let mut scenario = Scenario::new();
    scenario.dhcp(MAC, "snponly.efi");
    assert_eq!(status(&scenario), booting("DHCP offered it snponly.efi"));
    scenario.wait(180);
    assert_eq!(scenario.status(KEY).state, State::Booting, "three minutes have not passed");
    scenario.wait(1);
    assert_eq!(status(&scenario), stuck("DHCP offered a boot file, but no network boot program was requested"));
    assert_eq!(scenario.status(KEY).since, scenario.boot(KEY).last);

    scenario.index.record_neighbour(ip(PEER_A), MAC, None, scenario.now);
    scenario.tftp(PEER_A, "snponly.efi");
    assert_eq!(status(&scenario), booting("the network boot program snponly.efi was sent"));
    scenario.wait(181);
    assert_eq!(status(&scenario), stuck("the network boot program was sent, but no script was requested"));
}

#[test]
fn status_note_names_missing_file() {
    let plan = [(Role::Kernel, "k"), (Role::Initrd, "i"), (Role::Asset, "rootfs"), (Role::File, "hosts/a/x.ign")];
    let mut scenario = scripted(&plan);
    scenario.wait(181);
    assert_eq!(status(&scenario), stuck("the script was sent, but no kernel was requested (k)"));
    scenario.http(PEER_A, "k");
    assert_eq!(status(&scenario), booting("the kernel k was sent"));
    scenario.wait(181);
    assert_eq!(status(&scenario), stuck("the kernel was sent, but no initrd was requested (i)"));
    let open = scenario.open(Protocol::Http, PEER_A, "i");
    scenario.wait(600);
    assert_eq!(status(&scenario), booting("the initrd i is being sent"), "for any duration");
    scenario.close(open, Outcome::Complete, SIZE / 2);
    scenario.wait(181);
    assert_eq!(status(&scenario), stuck("the kernel was sent, but the initrd (i) was not sent completely"));
    scenario.http(PEER_A, "i");
    scenario.http(PEER_A, "rootfs");
    scenario.wait(181);
    assert_eq!(status(&scenario), stuck("the asset was sent, but no host file was requested (hosts/a/x.ign)"));
    scenario.http(PEER_A, "hosts/a/x.ign");
    assert_eq!(status(&scenario), (State::Done, "everything that its script named was sent".to_owned()));
    scenario.wait(181);
    assert_eq!(scenario.status(KEY).state, State::Done);
}

#[test]
fn status_failed_until_file_is_sent() {
    for (outcome, reason) in [
        (Outcome::Aborted, "the machine aborted the transfer"),
        (Outcome::Timeout, "the machine stopped responding"),
        (Outcome::DigestMismatch, "the bytes from its origin do not match the digest in the catalog"),
        (Outcome::OriginFailed, "its origin could not be read"),
        (Outcome::Refused, "the server refused it"),
        (Outcome::NotFound, "its source does not have it"),
    ] {
        let mut scenario = scripted(&[(Role::Kernel, "k")]);
        scenario.fetch(Protocol::Http, PEER_A, "k", outcome, 0);
        assert_eq!(status(&scenario), (State::Failed, format!("the kernel k: {reason}")));
        scenario.script(Some(MAC), PEER_A, &[(Role::Kernel, "k")]);
        scenario.http(PEER_A, "ipxe");
        assert_eq!(scenario.status(KEY).state, State::Failed, "only the file itself makes it good");
        scenario.http(PEER_A, "k");
        assert_eq!(scenario.status(KEY).state, State::Done);
    }
}

#[test]
fn status_ignores_missing_optional_file() {
    let mut scenario = scripted(&[(Role::Kernel, "k")]);
    scenario.fetch(Protocol::Http, PEER_A, ".treeinfo", Outcome::NotFound, 0);
    assert_eq!(scenario.status(KEY).state, State::Booting);
}

#[test]
fn status_partly_read_iso_is_done() {
    let mut scenario = scripted(&[(Role::Asset, "x.iso")]);
    scenario.fetch(Protocol::Http, PEER_A, "x.iso", Outcome::Probe, 0);
    scenario.fetch(Protocol::Http, PEER_A, "x.iso", Outcome::Complete, 512);
    scenario.fetch(Protocol::Http, PEER_A, "x.iso", Outcome::Aborted, 100);
    assert_eq!(status(&scenario), booting("the asset x.iso was sent"));
    scenario.wait(181);
    assert_eq!(status(&scenario), (State::Done, "it read 612 B of the disk image x.iso".to_owned()));
    // With another file, only the machine knows whether it needs more.
    let mut scenario = scripted(&[(Role::Asset, "rootfs")]);
    scenario.fetch(Protocol::Http, PEER_A, "rootfs", Outcome::Complete, 512);
    scenario.wait(181);
    assert_eq!(scenario.status(KEY).state, State::Quiet);
    // An aborted download of a whole image is a failure.
    let mut scenario = scripted(&[(Role::Asset, "rootfs")]);
    scenario.fetch(Protocol::Http, PEER_A, "rootfs", Outcome::Aborted, 100);
    assert_eq!(scenario.status(KEY).state, State::Failed);
}

#[test]
fn status_unknown_machine_waits() {
    let mut scenario = Scenario::new();
    scenario.script_for(&with_mac(MAC), None, PEER_A, ScriptKind::Unknown, &[]);
    scenario.http(PEER_A, "ipxe");
    assert_eq!(
        status(&scenario),
        (State::Waiting, "no [[host]] matches this machine, and there is no default profile".to_owned())
    );
    scenario.wait(181);
    assert_eq!(
        status(&scenario),
        stuck("no [[host]] matches this machine, and there is no default profile; it gave up asking")
    );
}

#[test]
fn status_without_plan_is_quiet() {
    let mut scenario = scripted(&[]);
    scenario.wait(181);
    assert_eq!(status(&scenario), (State::Quiet, "no script of this server names the next file".to_owned()));
    let mut scenario = Scenario::new();
    scenario.http(PEER_A, "okd/kernel");
    assert_eq!(scenario.status(at(PEER_A)).note, "the asset okd/kernel was sent");
    scenario.wait(181);
    assert_eq!(scenario.status(at(PEER_A)).state, State::Quiet);
}
