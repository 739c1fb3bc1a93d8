//! The journal across restarts, crashes and failing disks.

use std::fs;

use super::super::journal::Journal;
use super::*;

/// Reads the index from the file in `dir`.
fn read(dir: &Path) -> Index {
    Index::from_lines(Journal::read(dir).unwrap())
}

fn write(ledger: &Ledger) {
    ledger.write().unwrap();
}

/// Records the boot of a machine, and writes the journal after each event.
fn record_boot(ledger: &Ledger, mac: Mac) {
    let host = format!("r630-{:02}", mac.0[5]);
    ledger.record_offer(&with_mac(mac), None, 7, "snponly.efi", false);
    write(ledger);
    let named = [(Role::Kernel, "k".to_owned())];
    record(ledger, &with_mac(mac), PEER_A, Some(&host), ScriptKind::Files, &named);
    write(ledger);
    let start = TransferStart { id: 1, protocol: Protocol::Http, peer: ip(PEER_A), name: "k", at: now() };
    ledger.index().transfer_began(&start);
    write(ledger);
    ledger.index().transfer_ended(&start, &end(Outcome::Complete, SIZE), now());
    write(ledger);
}

#[test]
fn journal_restart_restores_ledger() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(dir.path());
    record_boot(&ledger, MAC);
    let before = ledger.machine("r630-01", &HashMap::new()).unwrap();
    for again in [Ledger::open(dir.path()), Ledger::read(dir.path()).unwrap()] {
        assert_eq!(again.machine("r630-01", &HashMap::new()).unwrap(), before);
        assert!(!again.index().is_unknown(ip(PEER_A), now()), "the address is still bound");
    }
    // New attempts get new ids.
    let ledger = Ledger::open(dir.path());
    record_boot(&ledger, MAC_B);
    let ids: Vec<_> =
        [MAC, MAC_B].map(|mac| ledger.machine(&mac.to_string(), &HashMap::new()).unwrap().boots[0].id).into();
    assert!(ids[1] > ids[0], "{ids:?}");
}

#[test]
fn journal_of_earlier_version_is_read() {
    // As it was written before boots had numbers, kinds of scripts and reasons.
    let line = r#"{"boot":{"machine":"24:6e:96:00:00:01","host":"r630-01","address":"192.0.2.7","boot":{"id":7,"began":"2026-11-21T14:00:00Z","last":"2026-11-21T14:01:00Z","stage":"payload","scripted":true,"profile":"worker","arch":7,"steps":[{"role":"kernel","name":"k","began":"2026-11-21T14:00:30Z","last":"2026-11-21T14:01:00Z","bytes":1000,"requests":1,"completed":1,"size":1000,"cache":"hit","outcome":"complete","busy":1000}]}}}"#;
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("ledger.jsonl"), format!("{line}\n")).unwrap();
    let machine = Ledger::open(dir.path()).machine("r630-01", &HashMap::new()).expect("the machine is known");
    assert_eq!((machine.boots.len(), machine.boots[0].number), (1, 1));
    assert_eq!(machine.boots[0].steps[0].name, "k");
}

#[test]
fn journal_every_prefix_is_valid() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(dir.path());
    record_boot(&ledger, MAC);
    let file = dir.path().join("ledger.jsonl");
    let whole = fs::read(&file).unwrap();
    let lines = whole.split_inclusive(|byte| *byte == b'\n').count();
    assert!(lines >= 4, "{lines} lines");
    for end in 0..whole.len() {
        fs::write(&file, &whole[..end]).unwrap();
        let index = read(dir.path());
        // A line without its line break is complete too.
        let complete = whole[..=end].contains(&b'\n');
        assert_eq!(index.machines().count(), usize::from(complete), "after {end} bytes");
        // The ledger continues: the file is rewritten, then appended to.
        let again = Ledger::open(dir.path());
        write(&again);
        record_boot(&again, MAC_B);
        assert_eq!(read(dir.path()).machines().count(), usize::from(complete) + 1, "after {end} bytes");
    }
}

#[test]
fn journal_open_transfer_becomes_aborted() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(dir.path());
    let start = TransferStart { id: 1, protocol: Protocol::Http, peer: ip(PEER_A), name: "k", at: now() };
    // An earlier outcome of the step is replaced.
    ledger.index().transfer_began(&start);
    ledger.index().transfer_ended(&start, &end(Outcome::Probe, 0), now());
    ledger.index().transfer_began(&start);
    write(&ledger);
    let found = Ledger::open(dir.path()).machine(PEER_A, &HashMap::new()).unwrap();
    assert_eq!(found.boots[0].steps[0].outcome, Some(Outcome::Aborted));
    assert_eq!(found.boots[0].steps[0].open, 0);
}

#[test]
fn journal_records_moved_attempt() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(dir.path());
    let start = TransferStart { id: 1, protocol: Protocol::Tftp, peer: ip(PEER_A), name: "snponly.efi", at: now() };
    ledger.record_offer(&with_mac(MAC), None, 7, "snponly.efi", false);
    ledger.index().transfer_began(&start);
    write(&ledger);
    assert_eq!(read(dir.path()).machines().count(), 2);
    record(&ledger, &with_mac(MAC), PEER_A, None, ScriptKind::Unknown, &[]);
    write(&ledger);
    let index = read(dir.path());
    assert_eq!(
        index.machines().map(|(key, machine)| (*key, machine.attempts.len())).collect::<Vec<_>>(),
        [(MachineKey::Mac(MAC), 1)]
    );
}

#[test]
fn journal_is_rewritten_when_grown() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(dir.path());
    let mut largest = 0;
    for _ in 0..2000 {
        ledger.record_offer(&with_mac(MAC), None, 7, "snponly.efi", false);
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
fn journal_invalid_lines_are_skipped() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(dir.path());
    record_boot(&ledger, MAC);
    let file = dir.path().join("ledger.jsonl");
    let good = fs::read_to_string(&file).unwrap();
    let long = format!("{{\"gone\":1{}}}\n", " ".repeat(70_000));
    let invalid = format!("{{\"gone\":\"x\"}}\n\0\u{7f}\n{long}{{\"from the future\":1}}\n{good}");
    fs::write(&file, invalid).unwrap();
    assert_eq!(read(dir.path()).machines().count(), 1);
}

#[test]
fn journal_recovers_after_disk_failure() {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().join("cache");
    fs::create_dir(&home).unwrap();
    let ledger = Ledger::open(&home);
    record_boot(&ledger, MAC);
    fs::rename(&home, dir.path().join("away")).unwrap();
    ledger.record_offer(&with_mac(MAC_B), None, 7, "snponly.efi", false);
    let error = ledger.write().unwrap_err().to_string();
    assert!(error.contains("cache/ledger.jsonl: "), "{error}");
    assert!(ledger.write().is_err());
    assert_eq!(ledger.machines(&HashMap::new()).len(), 2);
    fs::create_dir(&home).unwrap();
    write(&ledger);
    assert_eq!(read(&home).machines().count(), 2, "the whole ledger");

    // Also without new changes.
    fs::remove_dir_all(&home).unwrap();
    fs::create_dir(&home).unwrap();
    write(&ledger);
    assert_eq!(read(&home).machines().count(), 2, "the whole ledger, again");
}

#[test]
fn journal_unreadable_file_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("ledger.jsonl")).unwrap();
    let ledger = Ledger::open(dir.path());
    ledger.record_offer(&with_mac(MAC), None, 7, "x", false);
    write(&ledger);
    assert!(dir.path().join("ledger.jsonl").is_dir());
    assert_eq!(ledger.machines(&HashMap::new()).len(), 1);
}

#[test]
fn journal_longest_line_fits_limit() {
    let name = "\\".repeat(200);
    let mut attempt = Attempt::new(1, 1, now());
    let plan = (0..100).map(|number| (Role::Asset, format!("{number}{name}")[..200].to_owned())).collect();
    attempt.record_script(Some(name.clone()), ScriptKind::Failed("\\".repeat(5000)), plan, now());
    for number in 0..100 {
        let (name, reason) = (format!("{number}{name}"), Some("\\".repeat(5000)));
        let ending = EndRecord { reason, ..end(Outcome::DigestMismatch, u64::MAX / 200) };
        attempt.end(Role::Asset, &name[..200], &ending, now(), now());
    }
    let mut identity = Identity::default();
    for number in 0..20 {
        let text = "\u{7fff}".repeat(300);
        let query = format!("serial={text}&asset={text}&hostname={text}&buildarch={text}&platform={text}");
        identity.learn(&Machine { mac: Some(Mac([2, 0, 0, 0, 0, number])), ..Machine::from_query(&query) });
        identity.see_address(format!("2001:db8:1111:2222:3333:4444:5555:{number:x}").parse().unwrap());
    }
    identity.near_miss = Some("its serial number is one character from r630-07's".to_owned());
    let line = Line::Boot { machine: MachineKey::Mac(MAC), host: Some(name), address: None, identity, boot: attempt };
    let length = serde_json::to_string(&line).unwrap().len();
    assert!(length < 128 << 10, "{length} bytes");
}
