//! How boots stand, in states and words.

use super::*;

const KEY: Key = Key::Mac(MAC);

fn stands(story: &Story) -> (State, String) {
    let standing = story.standing(KEY);
    (standing.state, standing.note)
}

/// Up to its script, which names what is given.
fn scripted(plan: &[(Role, &str)]) -> Story {
    let mut story = Story::begin();
    story.dhcp(MAC, "snponly.efi");
    story.books.neighbour(ip(HERE), MAC, story.now);
    story.tftp(HERE, "snponly.efi");
    story.script(Some(MAC), HERE, plan);
    story.http(HERE, "ipxe");
    story
}

fn booting(note: &str) -> (State, String) {
    (State::Booting, note.to_owned())
}

fn stuck(note: &str) -> (State, String) {
    (State::Stuck, note.to_owned())
}

#[test]
fn a_machine_that_stops_is_stuck_after_its_last_step() {
    let mut story = Story::begin();
    story.dhcp(MAC, "snponly.efi");
    assert_eq!(stands(&story), booting("DHCP told it to boot snponly.efi"));
    story.wait(180);
    assert_eq!(story.standing(KEY).state, State::Booting, "three minutes are not over");
    story.wait(1);
    assert_eq!(stands(&story), stuck("DHCP told it what to boot, no firmware file was asked for"));
    assert_eq!(story.standing(KEY).since, story.boot(KEY).last);

    story.books.neighbour(ip(HERE), MAC, story.now);
    story.tftp(HERE, "snponly.efi");
    assert_eq!(stands(&story), booting("the firmware file snponly.efi came"));
    story.wait(181);
    assert_eq!(stands(&story), stuck("the firmware file came, no script was asked for"));
}

#[test]
fn a_plan_that_is_not_carried_out_says_what_is_missing() {
    let plan = [(Role::Kernel, "k"), (Role::Initrd, "i"), (Role::Asset, "rootfs"), (Role::File, "hosts/a/x.ign")];
    let mut story = scripted(&plan);
    story.wait(181);
    assert_eq!(stands(&story), stuck("the script came, no kernel was asked for (k)"));
    story.http(HERE, "k");
    assert_eq!(stands(&story), booting("the kernel k came"));
    story.wait(181);
    assert_eq!(stands(&story), stuck("the kernel came, no initrd was asked for (i)"));
    let open = story.open(Protocol::Http, HERE, "i");
    story.wait(600);
    assert_eq!(stands(&story), booting("the initrd i is on its way"), "however long it takes");
    story.close(open, Outcome::Complete, SIZE / 2);
    story.wait(181);
    assert_eq!(stands(&story), stuck("the kernel came, the initrd (i) did not come whole"));
    story.http(HERE, "i");
    story.http(HERE, "rootfs");
    story.wait(181);
    assert_eq!(stands(&story), stuck("the asset came, no host's file was asked for (hosts/a/x.ign)"));
    story.http(HERE, "hosts/a/x.ign");
    assert_eq!(stands(&story), (State::Done, "everything that its script named came".to_owned()));
    story.wait(181);
    assert_eq!(story.standing(KEY).state, State::Done);
}

#[test]
fn a_transfer_that_went_wrong_is_a_failure_until_something_follows() {
    let mut story = scripted(&[(Role::Kernel, "k")]);
    for (outcome, words) in [
        (Outcome::Aborted, "the machine let go of it"),
        (Outcome::Timeout, "the machine fell silent"),
        (Outcome::DigestMismatch, "its origin has other bytes than the catalog says"),
        (Outcome::OriginFailed, "its origin could not be read"),
        (Outcome::Refused, "the server refused it"),
        (Outcome::NotFound, "there is no such file here"),
    ] {
        story.fetch(Protocol::Http, HERE, "k", outcome, 0);
        assert_eq!(stands(&story), (State::Failed, format!("the kernel k: {words}")));
        story.script(Some(MAC), HERE, &[(Role::Kernel, "k")]);
        story.http(HERE, "ipxe");
        assert_eq!(story.standing(KEY).state, State::Booting, "it tries again");
    }
}

#[test]
fn a_file_that_need_not_be_there_is_no_failure() {
    let mut story = scripted(&[(Role::Kernel, "k")]);
    story.fetch(Protocol::Http, HERE, ".treeinfo", Outcome::NotFound, 0);
    assert_eq!(story.standing(KEY).state, State::Booting);
    // But the firmware's own file is.
    let mut story = Story::begin();
    story.fetch(Protocol::Tftp, HERE, "snponly.efi", Outcome::NotFound, 0);
    assert_eq!(story.standing(at(HERE)).state, State::Failed);
}

#[test]
fn of_an_iso_nobody_knows_when_it_is_enough() {
    let mut story = scripted(&[(Role::Asset, "x.iso")]);
    story.fetch(Protocol::Http, HERE, "x.iso", Outcome::Probe, 0);
    story.fetch(Protocol::Http, HERE, "x.iso", Outcome::Complete, 512);
    story.fetch(Protocol::Http, HERE, "x.iso", Outcome::Aborted, 100);
    assert_eq!(stands(&story), booting("the asset x.iso came"));
    story.wait(181);
    assert_eq!(
        stands(&story),
        (State::Quiet, "it read parts of x.iso; only the machine knows whether it needs more".to_owned())
    );
    // A whole image that is cut off is another thing.
    let mut story = scripted(&[(Role::Asset, "rootfs")]);
    story.fetch(Protocol::Http, HERE, "rootfs", Outcome::Aborted, 100);
    assert_eq!(story.standing(KEY).state, State::Failed);
}

#[test]
fn a_machine_that_nobody_named_waits() {
    let mut story = Story::begin();
    story.books.scripted(Some(MAC), ip(HERE), None, None, Vec::new(), story.now);
    story.http(HERE, "ipxe");
    assert_eq!(
        stands(&story),
        (State::Waiting, "nobody has named this machine, and there is no default profile".to_owned())
    );
    story.wait(181);
    assert_eq!(story.standing(KEY).state, State::Quiet);
}

#[test]
fn what_no_script_names_is_never_due() {
    let mut story = scripted(&[]);
    story.wait(181);
    assert_eq!(stands(&story), (State::Quiet, "no script of this server names what comes next".to_owned()));
    let mut story = Story::begin();
    story.http(HERE, "okd/kernel");
    assert_eq!(story.standing(at(HERE)).note, "the asset okd/kernel came");
    story.wait(181);
    assert_eq!(story.standing(at(HERE)).state, State::Quiet);
}
