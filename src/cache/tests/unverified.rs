//! Blobs whose file is not the one that was verified.

use std::os::unix::fs::symlink;

use super::*;

/// A directory with a verified blob, and the blob's bytes.
fn cached() -> (tempfile::TempDir, Vec<u8>) {
    let temp = tempfile::tempdir().unwrap();
    let bytes = blob(1, 20_000);
    fill(&open(temp.path(), 1 << 20), &bytes).unwrap();
    (temp, bytes)
}

fn is_unverified(cache: &Cache, digest: &Digest) -> bool {
    let listed = cache.list().into_iter().find(|it| it.digest == *digest);
    let is_unverified = cache.unverified_size_of(digest).is_some();
    assert!(!is_unverified || (cache.size_of(digest).is_none() && cache.get_if_open(digest).is_none()));
    assert_eq!(listed.is_some_and(|it| it.verified.is_none()), is_unverified);
    is_unverified
}

fn hash(blob: &UnverifiedBlob) -> VerifiedDigest {
    let mut bytes = vec![0; usize::try_from(blob.size()).unwrap()];
    blob.read_at(0, &mut bytes).unwrap();
    verified(&bytes)
}

/// The name of a change of a blob's file, and how it is made.
type Change<'a> = (&'a str, &'a dyn Fn(&Path, &[u8]));
/// The name of what replaces a blob's file, and how it is made.
type Replacement<'a> = (&'a str, &'a dyn Fn(&Path));

#[test]
fn restart_keeps_blob_verified() {
    let (temp, bytes) = cached();
    let cache = open(temp.path(), 1 << 20);
    assert!(!is_unverified(&cache, &Digest::of(&bytes)));
    assert_eq!(read(&cache.get(&Digest::of(&bytes)).unwrap()), bytes);
    assert!(cache.unverified(&Digest::of(&bytes), None).is_none());
    assert_eq!(cache.stats().unverified_entries, 0);
}

#[test]
fn every_other_file_is_unverified() {
    let replace = |path: &Path, bytes: &[u8]| {
        let copy = path.with_extension("copy");
        fs::write(&copy, bytes).unwrap();
        fs::rename(copy, path).unwrap();
    };
    let changes: [Change<'_>; 6] = [
        ("overwritten in place", &|path, bytes| {
            fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
            let mut changed = bytes.to_vec();
            changed[10_000] ^= 1;
            fs::write(path, changed).unwrap();
        }),
        ("restored from a backup", &|path, bytes| {
            let times = fs::metadata(path).unwrap().modified().unwrap();
            replace(path, bytes);
            fs::File::open(path).unwrap().set_times(fs::FileTimes::new().set_modified(times)).unwrap();
        }),
        ("given another link", &|path, _| fs::hard_link(path, path.with_file_name("link")).unwrap()),
        ("made writable", &|path, _| fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap()),
        ("without a record", &|path, _| {
            fs::remove_file(path.ancestors().nth(4).unwrap().join("verified.log")).unwrap();
        }),
        ("with a damaged record", &|path, _| {
            let log = path.ancestors().nth(4).unwrap().join("verified.log");
            let mut bytes = fs::read(&log).unwrap();
            let end = bytes.len() - 20;
            bytes[end] ^= 1;
            fs::write(log, bytes).unwrap();
        }),
    ];
    for (name, change) in changes {
        for while_open in [false, true] {
            let (temp, bytes) = cached();
            let digest = Digest::of(&bytes);
            let path = open(temp.path(), 1 << 20).store.dir.blob(&digest);
            if while_open && name.starts_with("with") {
                continue;
            }
            let cache = while_open.then(|| open(temp.path(), 1 << 20));
            let reader = cache.as_ref().map(|cache| cache.get(&digest).unwrap());
            thread::sleep(Duration::from_millis(20));
            change(&path, &bytes);
            let cache = cache.unwrap_or_else(|| open(temp.path(), 1 << 20));
            if let Some(reader) = reader {
                assert!(!is_unverified(&cache, &digest), "nothing has asked yet");
                // Bytes that are read from the old file hold after it was replaced.
                assert_eq!(cache.is_intact(&reader), name == "restored from a backup", "{name}");
                assert!(!cache.is_unchanged(&reader), "{name}");
            }
            assert!(is_unverified(&cache, &digest), "{name}");
            assert!(cache.get(&digest).is_none(), "{name}");
            assert_eq!((cache.stats().blob_entries, cache.stats().unverified_entries), (0, 1));
            assert_eq!(cache.scrub_due(Duration::from_hours(1), 9), [digest], "it is hashed soon");
            assert_consistent_but_links(&cache);
        }
    }
}

/// The test's own hard link is foreign.
fn assert_consistent_but_links(cache: &Cache) {
    let found = Scan::of(&cache.store.dir);
    assert!(found.leftovers.is_empty() && found.foreign.iter().all(|path| path.ends_with("link")), "{found:?}");
}

#[test]
fn unverified_blob_is_admitted_in_place() {
    let (temp, bytes) = cached();
    let digest = Digest::of(&bytes);
    fs::remove_file(temp.path().join("verified.log")).unwrap();
    let cache = open(temp.path(), 1 << 20);
    let unverified = cache.unverified(&digest, Some(20_000)).unwrap();
    assert!(matches!(cache.evict(&digest), Err(EvictError::Held(_))), "it is being hashed");
    let entry = unverified.admit(&hash(&unverified)).unwrap();
    assert_eq!(read(&entry), bytes);
    assert!(!is_unverified(&cache, &digest) && cache.is_unchanged(&entry));
    drop((entry, unverified, cache));
    assert!(!is_unverified(&open(temp.path(), 1 << 20), &digest), "it is recorded");
}

#[test]
fn change_while_hashed_is_not_admitted() {
    let (temp, bytes) = cached();
    let digest = Digest::of(&bytes);
    fs::remove_file(temp.path().join("verified.log")).unwrap();
    let cache = open(temp.path(), 1 << 20);
    let unverified = cache.unverified(&digest, None).unwrap();
    let proof = hash(&unverified);
    damage(&cache, &digest, &blob(2, 20_000));
    assert!(unverified.admit(&proof).is_none());
    assert!(is_unverified(&cache, &digest));
    unverified.quarantine("its bytes have another digest");
    assert_eq!((cache.stats().unverified_entries, cache.stats().quarantined_entries), (0, 1));
    assert_eq!(read(&fill(&cache, &bytes).unwrap()), bytes);
    assert_consistent(&cache);
}

#[test]
fn wrong_length_is_quarantined_without_hashing() {
    let (temp, bytes) = cached();
    let digest = Digest::of(&bytes);
    // Against the record, at the start.
    let cache = open(temp.path(), 1 << 20);
    damage(&cache, &digest, &bytes[..19_999]);
    drop(cache);
    let cache = open(temp.path(), 1 << 20);
    assert_eq!((cache.list().len(), cache.stats().quarantined_entries), (0, 1));
    assert_consistent(&cache);
    // Against the record, while it is open.
    let reader = fill(&cache, &bytes).unwrap();
    damage(&cache, &digest, &[]);
    assert!(!cache.is_unchanged(&reader) && cache.unverified(&digest, None).is_none());
    assert_eq!((cache.list().len(), cache.stats().quarantined_entries), (0, 1));
    drop(reader);
    // Against the catalog, without a record.
    fill(&cache, &bytes).unwrap();
    drop(cache);
    fs::remove_file(temp.path().join("verified.log")).unwrap();
    let cache = open(temp.path(), 1 << 20);
    assert!(cache.unverified(&digest, Some(20_001)).is_none());
    assert_eq!((cache.list().len(), cache.stats().quarantined_entries), (0, 1));
    assert_consistent(&cache);
}

#[test]
fn other_kinds_of_files_are_refilled() {
    let elsewhere = tempfile::tempdir().unwrap();
    let target = elsewhere.path().join("target");
    let kinds: [Replacement<'_>; 3] = [
        ("a symbolic link", &|path| symlink(&target, path).unwrap()),
        ("a FIFO", &|path| {
            rustix::fs::mkfifoat(rustix::fs::CWD, path, rustix::fs::Mode::from_raw_mode(0o644)).unwrap();
        }),
        ("nothing", &|_| {}),
    ];
    for (name, make) in kinds {
        for while_open in [false, true] {
            let (temp, bytes) = cached();
            let digest = Digest::of(&bytes);
            fs::write(&target, &bytes).unwrap();
            let cache = open(temp.path(), 1 << 20);
            let path = cache.store.dir.blob(&digest);
            let cache = while_open.then_some(cache);
            fs::remove_file(&path).unwrap();
            make(&path);
            let cache = cache.unwrap_or_else(|| open(temp.path(), 1 << 20));
            assert!(cache.get(&digest).is_none() && cache.unverified(&digest, None).is_none(), "{name}");
            assert_eq!(cache.writable(), Ok(()), "{name}");
            assert_eq!(read(&fill(&cache, &bytes).unwrap()), bytes, "{name}");
            assert!(fs::symlink_metadata(&path).unwrap().is_file(), "{name}");
            assert_eq!(fs::read(&target).unwrap(), bytes, "{name}");
            assert_consistent(&cache);
        }
    }
}

#[test]
fn link_in_place_of_partial_is_not_followed() {
    let temp = tempfile::tempdir().unwrap();
    let target = temp.path().join("target");
    fs::write(&target, "of somebody else").unwrap();
    let bytes = blob(1, 2_500);
    let digest = Digest::of(&bytes);
    let cache = open(temp.path(), 1 << 20);
    for hard in [false, true] {
        for path in [cache.store.dir.partial(&digest), cache.store.dir.log(&digest)] {
            if hard {
                fs::hard_link(&target, &path).unwrap();
            } else {
                symlink(&target, &path).unwrap();
            }
        }
        assert_eq!(read(&fill(&cache, &bytes).unwrap()), bytes);
        assert_eq!(fs::read_to_string(&target).unwrap(), "of somebody else");
        cache.evict(&digest).unwrap();
    }
    // The log of an earlier fill, and the partial.
    drop(cache.partial(&digest, 2_500, PART).unwrap());
    for path in [cache.store.dir.partial(&digest), cache.store.dir.log(&digest)] {
        fs::rename(&path, &target).unwrap();
        symlink(&target, &path).unwrap();
        let before = fs::read(&target).unwrap();
        assert_eq!(read(&fill(&cache, &bytes).unwrap()), bytes);
        assert_eq!(fs::read(&target).unwrap(), before);
        cache.evict(&digest).unwrap();
        drop(cache.partial(&digest, 2_500, PART).unwrap());
    }
}

#[test]
fn unreadable_changed_blob_is_fetched_again() {
    let temp = tempfile::tempdir().unwrap();
    let faults = FaultPoints::default();
    let bytes = blob(1, 2_000);
    let digest = Digest::of(&bytes);
    fill(&open(temp.path(), 1 << 20), &bytes).unwrap();
    let cache = Cache::open_with(settings(temp.path(), 1 << 20), faults.clone()).unwrap();
    faults.fail(0..1, libc::EACCES);
    assert!(cache.get(&digest).is_none());
    assert_eq!(cache.size_of(&digest), Some(2_000), "its file is the one that was verified");
    fs::set_permissions(cache.store.dir.blob(&digest), fs::Permissions::from_mode(0o0)).unwrap();
    faults.fail(0..1, libc::EACCES);
    assert!(cache.get(&digest).is_none());
    assert!(is_unverified(&cache, &digest));
}

#[test]
fn copied_cache_is_unverified() {
    let (temp, bytes) = cached();
    let copy = tempfile::tempdir().unwrap();
    let copied = std::process::Command::new("cp").args(["-a", "-T"]).arg(temp.path()).arg(copy.path()).status();
    assert!(copied.unwrap().success());
    let cache = open(copy.path(), 1 << 20);
    assert!(is_unverified(&cache, &Digest::of(&bytes)));
    assert!(!cache.is_renumbered(), "a copy is no other number for the same file");
    assert!(matches!(cache.verify(&Digest::of(&bytes)), ScrubOutcome::Verified));
    assert!(!is_unverified(&cache, &Digest::of(&bytes)));
}

#[test]
fn older_record_does_not_verify_newer_file() {
    let (temp, bytes) = cached();
    let log = temp.path().join("verified.log");
    let older = fs::read(&log).unwrap();
    let cache = open(temp.path(), 1 << 20);
    cache.evict(&Digest::of(&bytes)).unwrap();
    fill(&cache, &bytes).unwrap();
    drop(cache);
    fs::write(&log, older).unwrap();
    assert!(is_unverified(&open(temp.path(), 1 << 20), &Digest::of(&bytes)));
}

#[test]
fn renumbered_files_are_hashed_once_a_run() {
    let (temp, bytes) = cached();
    let digest = Digest::of(&bytes);
    let log = temp.path().join("verified.log");
    // As after a mount with other inode numbers.
    let renumber = |text: &str| {
        let mut records = super::super::records::read(&open(temp.path(), 1 << 20).store.dir);
        let record = records.get_mut(&digest).unwrap();
        record.proof.as_mut().unwrap().file.set_inode(7);
        let lines = super::super::checked_line::write("verified", &record.to_text());
        fs::write(&log, text.lines().next().unwrap().to_owned() + "\n" + &lines).unwrap();
    };
    renumber(&fs::read_to_string(&log).unwrap());
    let cache = open(temp.path(), 1 << 20);
    assert!(is_unverified(&cache, &digest) && cache.is_renumbered());
    assert!(matches!(cache.verify(&digest), ScrubOutcome::Verified));
    // Its number changes again while the cache is open.
    drop(cache.store.index().close_idle(0));
    let serial = cache.store.index().peek(&digest).unwrap().1;
    let mut found = *cache.get(&digest).unwrap().blob().identity();
    found.set_inode(8);
    drop(cache.store.index().close_idle(0));
    cache.store.index().renumber(&digest, serial, found);
    assert_eq!(read(&cache.get(&digest).unwrap()), bytes);
    assert!(!is_unverified(&cache, &digest));
}
