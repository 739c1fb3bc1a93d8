use proptest::prelude::*;

use super::*;
use crate::fault_points::FaultPoints;

const SIZE: u64 = 45;

fn dir() -> (tempfile::TempDir, Dir, Digest) {
    let temp = tempfile::tempdir().unwrap();
    let dir = Dir::new(temp.path().to_owned(), FaultPoints::default());
    fs::create_dir(dir.partials()).unwrap();
    (temp, dir, Digest::of(b"x"))
}

#[test]
fn reopened_log_has_parts_and_note() {
    let (_temp, dir, digest) = dir();
    let mut log = PartLog::create(&dir, &digest, SIZE, 10, "boot").unwrap();
    log.add_written(&dir, &[4]).unwrap();
    log.set_note(&dir, "a note\nof two lines").unwrap();
    let again = PartLog::open(&dir, &digest, SIZE, 10, "boot").unwrap();
    assert_eq!(again.parts(), [false, false, false, false, true]);
    assert_eq!(again.note(), Some("a note\nof two lines"));
    assert!(PartLog::open(&dir, &digest, SIZE + 1, 10, "boot").is_none(), "another size");
}

#[test]
fn reboot_keeps_only_durable_parts() {
    let (_temp, dir, digest) = dir();
    let mut log = PartLog::create(&dir, &digest, SIZE, 10, "first").unwrap();
    log.add_written(&dir, &[0]).unwrap();
    log.add_written(&dir, &[1]).unwrap();
    assert_eq!(log.not_durable(), [0, 1]);
    log.add_durable(&dir, &[0, 1]).unwrap();
    log.add_written(&dir, &[2]).unwrap();
    let mut log = PartLog::open(&dir, &digest, SIZE, 10, "second").unwrap();
    assert_eq!(log.parts(), [true, true, false, false, false]);
    log.add_written(&dir, &[3]).unwrap();
    assert_eq!(PartLog::open(&dir, &digest, SIZE, 10, "second").unwrap().parts(), [true, true, false, true, false]);
    assert_eq!(PartLog::open(&dir, &digest, SIZE, 10, "").unwrap().parts(), [true, true, false, false, false]);
}

#[test]
fn reset_discards_parts_and_note() {
    let (_temp, dir, digest) = dir();
    let mut log = PartLog::create(&dir, &digest, SIZE, 10, "boot").unwrap();
    log.add_written(&dir, &[0]).unwrap();
    log.add_durable(&dir, &[0]).unwrap();
    log.set_note(&dir, "note").unwrap();
    log.reset(&dir, "boot").unwrap();
    for log in [log, PartLog::open(&dir, &digest, SIZE, 10, "boot").unwrap()] {
        assert_eq!((log.parts(), log.note()), (vec![false; 5], None));
    }
}

#[test]
fn other_part_size_converts_parts() {
    let (_temp, dir, digest) = dir();
    let mut log = PartLog::create(&dir, &digest, SIZE, 20, "boot").unwrap();
    log.add_written(&dir, &[0]).unwrap();
    log.add_durable(&dir, &[0]).unwrap();
    log.add_written(&dir, &[2]).unwrap();
    let mut log = PartLog::open(&dir, &digest, SIZE, 10, "boot").unwrap();
    assert_eq!((log.parts(), log.not_durable()), (vec![true, true, false, false, true], vec![4]));
    log.add_written(&dir, &[3]).unwrap();
    for _ in 0..2 {
        let log = PartLog::open(&dir, &digest, SIZE, 15, "boot").unwrap();
        assert_eq!(log.parts(), [true, false, true], "bytes 20 to 29 are missing");
    }
    assert_eq!(PartLog::open(&dir, &digest, SIZE, 5, "boot").unwrap().parts()[..4], [true, true, true, false]);
    assert_eq!(PartLog::open(&dir, &digest, SIZE, 5, "reboot").unwrap().not_durable(), Vec::<usize>::new());
}

#[test]
fn altered_record_ends_log() {
    let (_temp, dir, digest) = dir();
    let mut log = PartLog::create(&dir, &digest, SIZE, 10, "boot").unwrap();
    for index in [1, 4, 2] {
        log.add_written(&dir, &[index]).unwrap();
    }
    let text = fs::read_to_string(dir.log(&digest)).unwrap();
    assert!(text.contains("{\"written\":4}"), "{text}");
    fs::write(dir.log(&digest), text.replace("{\"written\":4}", "{\"written\":3}")).unwrap();
    let log = PartLog::open(&dir, &digest, SIZE, 10, "boot").unwrap();
    assert_eq!(log.parts(), [false, true, false, false, false]);
    // A log of another digest is not accepted.
    fs::copy(dir.log(&digest), dir.log(&Digest::of(b"y"))).unwrap();
    assert!(PartLog::open(&dir, &Digest::of(b"y"), SIZE, 10, "boot").is_none());
}

proptest! {
    /// However often the parts change their size, every byte that counts as written was written.
    #[test]
    fn other_part_size_invents_no_part(
        runs in prop::collection::vec((1u64..60, prop::collection::vec(any::<prop::sample::Index>(), 0..4)), 1..6),
    ) {
        let (_temp, dir, digest) = dir();
        drop(PartLog::create(&dir, &digest, SIZE, runs[0].0, "boot").unwrap());
        let mut bytes = vec![false; count(SIZE, 1)];
        for (part_size, written) in runs {
            let mut log = PartLog::open(&dir, &digest, SIZE, part_size, "boot").unwrap();
            let step = usize::try_from(part_size).unwrap();
            for (index, is_written) in log.parts().into_iter().enumerate() {
                let part = index * step..bytes.len().min((index + 1) * step);
                prop_assert!(!is_written || bytes[part].iter().all(|written| *written));
            }
            for index in written {
                let index = index.index(log.parts().len());
                log.add_written(&dir, &[index]).unwrap();
                let end = bytes.len().min((index + 1) * step);
                bytes[index * step..end].fill(true);
            }
        }
    }

    #[test]
    fn torn_log_invents_no_part(
        written in prop::collection::vec(0usize..5, 0..8),
        cut in any::<prop::sample::Index>(),
        flip in prop::option::of((any::<prop::sample::Index>(), 1u8..)),
    ) {
        let (_temp, dir, digest) = dir();
        let mut log = PartLog::create(&dir, &digest, SIZE, 10, "boot").unwrap();
        for index in &written {
            log.add_written(&dir, &[*index]).unwrap();
        }
        let mut bytes = fs::read(dir.log(&digest)).unwrap();
        bytes.truncate(cut.index(bytes.len() + 1));
        if let Some((at, bits)) = flip.filter(|_| !bytes.is_empty()) {
            let at = at.index(bytes.len());
            bytes[at] ^= bits;
        }
        fs::write(dir.log(&digest), &bytes).unwrap();
        if let Some(mut log) = PartLog::open(&dir, &digest, SIZE, 10, "boot") {
            for (index, is_written) in log.parts().into_iter().enumerate() {
                prop_assert!(!is_written || written.contains(&index));
            }
            // A part that is written now is found later, whatever the torn end was.
            log.add_written(&dir, &[2]).unwrap();
            prop_assert!(PartLog::open(&dir, &digest, SIZE, 10, "boot").unwrap().parts()[2]);
        }
    }
}
