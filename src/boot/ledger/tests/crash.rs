//! The journal: what is written is read again, whatever happens in between.

use std::fs;

use super::super::journal::{Journal, Line};
use super::*;

/// The books that the file in `dir` makes.
fn read(dir: &Path) -> Books {
    Books::of(Journal::read(dir).unwrap())
}

fn write(ledger: &Ledger) {
    ledger.write().unwrap();
}

/// A ledger in `dir` with a machine's boot, and what its books say.
fn story(ledger: &Ledger, mac: Mac) {
    let machine = Machine { mac: Some(mac), ..Machine::default() };
    ledger.offered(&machine, 7, "snponly.efi", false);
    write(ledger);
    let named = [(Role::Kernel, "k".to_owned())];
    ledger.scripted(&machine, ip(HERE), Some("r630-01"), Some("worker"), &named);
    write(ledger);
    let begun = Begun { id: 1, protocol: Protocol::Http, peer: ip(HERE), name: "k", at: now() };
    ledger.books().began(&begun);
    write(ledger);
    ledger.books().ended(&begun, &ending(Outcome::Complete, SIZE), now());
    write(ledger);
}

#[test]
fn a_restart_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(dir.path());
    story(&ledger, MAC);
    let before = ledger.machine("r630-01", &HashMap::new()).unwrap();
    for again in [Ledger::open(dir.path()), Ledger::read(dir.path()).unwrap()] {
        assert_eq!(again.machine("r630-01", &HashMap::new()).unwrap(), before);
        assert!(!again.books().is_stranger(ip(HERE), now()), "the address is still the machine's");
    }
    // And what comes next has an id of its own.
    let ledger = Ledger::open(dir.path());
    story(&ledger, OTHER);
    let ids: Vec<_> =
        [MAC, OTHER].map(|mac| ledger.machine(&mac.to_string(), &HashMap::new()).unwrap().boots[0].id).into();
    assert!(ids[1] > ids[0], "{ids:?}");
}

#[test]
fn every_prefix_of_the_file_is_a_ledger() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(dir.path());
    story(&ledger, MAC);
    let file = dir.path().join("ledger.jsonl");
    let whole = fs::read(&file).unwrap();
    let lines = whole.split_inclusive(|byte| *byte == b'\n').count();
    assert!(lines >= 4, "{lines} lines");
    for end in 0..whole.len() {
        fs::write(&file, &whole[..end]).unwrap();
        let books = read(dir.path());
        // A line without its end is whole as well.
        let complete = whole[..=end].contains(&b'\n');
        assert_eq!(books.pages().count(), usize::from(complete), "after {end} bytes");
        // It goes on from there: written anew, then added to.
        let again = Ledger::open(dir.path());
        write(&again);
        story(&again, OTHER);
        assert_eq!(read(dir.path()).pages().count(), usize::from(complete) + 1, "after {end} bytes");
    }
}

#[test]
fn a_transfer_that_was_under_way_at_the_end_was_cut_off() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(dir.path());
    let begun = Begun { id: 1, protocol: Protocol::Http, peer: ip(HERE), name: "k", at: now() };
    // What was known before is no more how it ended.
    ledger.books().began(&begun);
    ledger.books().ended(&begun, &ending(Outcome::Probe, 0), now());
    ledger.books().began(&begun);
    write(&ledger);
    let found = Ledger::open(dir.path()).machine(HERE, &HashMap::new()).unwrap();
    assert_eq!(found.boots[0].steps[0].outcome, Some(Outcome::Aborted));
    assert_eq!(found.boots[0].steps[0].open, 0);
}

#[test]
fn a_boot_that_moved_is_where_it_moved_to() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(dir.path());
    let begun = Begun { id: 1, protocol: Protocol::Tftp, peer: ip(HERE), name: "snponly.efi", at: now() };
    let machine = Machine { mac: Some(MAC), ..Machine::default() };
    ledger.offered(&machine, 7, "snponly.efi", false);
    ledger.books().began(&begun);
    write(&ledger);
    assert_eq!(read(dir.path()).pages().count(), 2);
    ledger.scripted(&machine, ip(HERE), None, None, &[]);
    write(&ledger);
    let books = read(dir.path());
    assert_eq!(books.pages().map(|(key, page)| (*key, page.attempts.len())).collect::<Vec<_>>(), [(Key::Mac(MAC), 1)]);
}

#[test]
fn a_file_that_has_grown_is_written_anew() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(dir.path());
    let machine = Machine { mac: Some(MAC), ..Machine::default() };
    let mut largest = 0;
    for _ in 0..2000 {
        ledger.offered(&machine, 7, "snponly.efi", false);
        write(&ledger);
        largest = largest.max(fs::metadata(dir.path().join("ledger.jsonl")).unwrap().len());
    }
    assert!((256 << 10..300 << 10).contains(&largest), "{largest} bytes at most");
    assert_eq!(ledger.machine(&MAC.to_string(), &HashMap::new()).unwrap().boots[0].steps[0].requests, 2000);
    assert_eq!(
        Ledger::open(dir.path()).machine(&MAC.to_string(), &HashMap::new()).unwrap().boots[0].steps[0].requests,
        2000
    );
}

#[test]
fn lines_of_anybody_else_are_passed_over() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(dir.path());
    story(&ledger, MAC);
    let file = dir.path().join("ledger.jsonl");
    let good = fs::read_to_string(&file).unwrap();
    let long = format!("{{\"gone\":1{}}}\n", " ".repeat(70_000));
    let strange = format!("{{\"gone\":\"x\"}}\n\0\u{7f}\n{long}{{\"from the future\":1}}\n{good}");
    fs::write(&file, strange).unwrap();
    assert_eq!(read(dir.path()).pages().count(), 1);
}

#[test]
fn without_a_disk_it_goes_on_in_memory_and_is_kept_again_when_that_is_mended() {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().join("cache");
    fs::create_dir(&home).unwrap();
    let ledger = Ledger::open(&home);
    story(&ledger, MAC);
    fs::rename(&home, dir.path().join("away")).unwrap();
    let machine = Machine { mac: Some(OTHER), ..Machine::default() };
    ledger.offered(&machine, 7, "snponly.efi", false);
    let error = ledger.write().unwrap_err().to_string();
    assert!(error.contains("cache/ledger.jsonl: "), "{error}");
    assert!(ledger.write().is_err());
    assert_eq!(ledger.machines(&HashMap::new()).len(), 2);
    fs::create_dir(&home).unwrap();
    write(&ledger);
    assert_eq!(read(&home).pages().count(), 2, "all of it");

    // Though there is nothing to add.
    fs::remove_dir_all(&home).unwrap();
    fs::create_dir(&home).unwrap();
    write(&ledger);
    assert_eq!(read(&home).pages().count(), 2, "all of it, again");
}

#[test]
fn a_file_that_cannot_be_read_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("ledger.jsonl")).unwrap();
    let ledger = Ledger::open(dir.path());
    ledger.offered(&Machine { mac: Some(MAC), ..Machine::default() }, 7, "x", false);
    write(&ledger);
    assert!(dir.path().join("ledger.jsonl").is_dir());
    assert_eq!(ledger.machines(&HashMap::new()).len(), 1);
}

#[test]
fn the_longest_line_is_read_again() {
    let name = "\\".repeat(200);
    let mut attempt = Attempt::new(1, now());
    let plan = (0..100).map(|number| (Role::Asset, format!("{number}{name}")[..200].to_owned())).collect();
    attempt.script(Some(name.clone()), plan, now());
    for number in 0..100 {
        attempt
            .step(Role::Asset, &format!("{number}{name}")[..200], now())
            .end(&ending(Outcome::DigestMismatch, u64::MAX / 200), now());
    }
    let line = Line::Boot { machine: Key::Mac(MAC), host: Some(name), address: Some(ip("2001:db8::1")), boot: attempt };
    let length = serde_json::to_string(&line).unwrap().len();
    assert!(length < 64 << 10, "{length} bytes");
}
