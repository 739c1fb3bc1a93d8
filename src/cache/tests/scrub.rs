//! Corrupt, unreadable and missing blobs.

use std::ops::ControlFlow;
use std::sync::mpsc;
use std::time::Instant;

use bootdepot_test_support::deadline::stretch;

use super::*;

#[test]
fn corrupt_blob_is_quarantined_and_refilled() {
    let temp = tempfile::tempdir().unwrap();
    let cache = open(temp.path(), 1 << 20);
    let bytes = blob(1, 500_000);
    let digest = Digest::of(&bytes);
    let reader = fill(&cache, &bytes).unwrap();
    assert!(matches!(cache.verify(&digest), ScrubOutcome::Verified));
    let mut corrupt = bytes.clone();
    corrupt[400_000] ^= 1;
    damage(&cache, &digest, &corrupt);
    assert!(matches!(cache.verify(&digest), ScrubOutcome::Corrupt));
    assert!(cache.get(&digest).is_none() && cache.get_if_open(&digest).is_none());
    assert_eq!(fs::read(cache.store.dir.quarantined(&digest)).unwrap(), corrupt);
    assert_eq!(reader.size(), bytes.len() as u64);
    assert!(matches!(cache.verify(&digest), ScrubOutcome::Missing));
    assert_eq!(read(&fill(&cache, &bytes).unwrap()), bytes);
    assert_consistent(&cache);
}

#[test]
fn short_or_missing_file_is_not_served() {
    let temp = tempfile::tempdir().unwrap();
    let (short, gone) = (blob(1, 2_000), blob(2, 2_000));
    let cache = open(temp.path(), 1 << 20);
    fill(&cache, &short).unwrap();
    fill(&cache, &gone).unwrap();
    drop(cache);
    let cache = open(temp.path(), 1 << 20);
    damage(&cache, &Digest::of(&short), &short[..1_999]);
    fs::remove_file(cache.store.dir.blob(&Digest::of(&gone))).unwrap();
    assert!(cache.get(&Digest::of(&short)).is_none() && cache.unverified(&Digest::of(&short), None).is_none());
    assert!(cache.get(&Digest::of(&gone)).is_none() && cache.unverified(&Digest::of(&gone), None).is_none());
    assert_eq!((cache.stats().blob_entries, cache.stats().quarantined_entries), (0, 1));
}

#[test]
fn missing_file_does_not_fail_cache() {
    let temp = tempfile::tempdir().unwrap();
    let cache = open(temp.path(), 1 << 20);
    let bytes = blob(1, 2_000);
    let digest = Digest::of(&bytes);
    let path = cache.store.dir.blob(&digest);
    let remove = |while_hashing: bool| {
        fill(&cache, &bytes).unwrap();
        damage(&cache, &digest, &bytes[..1_000].repeat(2));
        if !while_hashing {
            fs::remove_file(&path).unwrap();
        }
        let outcome = cache.verify_watched(&digest, &mut |_| {
            fs::remove_file(&path).unwrap();
            ControlFlow::Continue(())
        });
        assert!(matches!(outcome, ScrubOutcome::Missing), "{outcome:?}");
        assert_eq!(cache.size_of(&digest), None);
        assert_eq!(cache.writable(), Ok(()));
        assert_consistent(&cache);
    };
    remove(false);
    remove(true);
    assert_eq!(read(&fill(&cache, &bytes).unwrap()), bytes);
}

#[test]
fn deleted_quarantine_is_created_again() {
    let temp = tempfile::tempdir().unwrap();
    let cache = open(temp.path(), 1 << 20);
    let bytes = blob(1, 2_000);
    fill(&cache, &bytes).unwrap();
    damage(&cache, &Digest::of(&bytes), &blob(2, 2_000));
    fs::remove_dir(cache.store.dir.quarantine()).unwrap();
    assert!(matches!(cache.verify(&Digest::of(&bytes)), ScrubOutcome::Corrupt));
    assert_eq!(cache.writable(), Ok(()));
    assert_consistent(&cache);
}

#[test]
fn unreadable_blob_is_quarantined_and_refilled() {
    let temp = tempfile::tempdir().unwrap();
    let faults = FaultPoints::default();
    let cache = Cache::open_with(settings(temp.path(), 1 << 20), faults.clone()).unwrap();
    let bytes = blob(1, 2_000);
    let digest = Digest::of(&bytes);
    for errno in [libc::EIO, libc::EUCLEAN] {
        fill(&cache, &bytes).unwrap();
        faults.fail(0..1, errno);
        let outcome = cache.verify(&digest);
        assert!(matches!(outcome, ScrubOutcome::Unreadable), "{outcome:?}");
        assert!(cache.get(&digest).is_none() && cache.get_if_open(&digest).is_none());
        assert!(cache.store.dir.quarantined(&digest).exists());
    }
    assert_eq!(read(&fill(&cache, &bytes).unwrap()), bytes);
    assert_consistent(&cache);
}

#[test]
fn failed_disk_quarantines_no_blob() {
    let temp = tempfile::tempdir().unwrap();
    let faults = FaultPoints::default();
    let cache = Cache::open_with(settings(temp.path(), 1 << 20), faults.clone()).unwrap();
    let bytes = blob(1, 2_000);
    let digest = Digest::of(&bytes);
    fill(&cache, &bytes).unwrap();
    faults.fail(0..usize::MAX, libc::EIO);
    assert!(matches!(cache.verify(&digest), ScrubOutcome::Failed(CacheError::Io { .. })));
    assert!(cache.writable().is_err());
    assert_eq!(read(&cache.get(&digest).unwrap()), bytes, "a readable blob is served");
    faults.heal();
    assert!(matches!(cache.verify(&digest), ScrubOutcome::Verified));

    // An error of the system is not one of the blob.
    faults.fail(0..1, libc::EMFILE);
    assert!(matches!(cache.verify(&digest), ScrubOutcome::Failed(CacheError::Io { .. })));
    assert_eq!(cache.stats().quarantined_entries, 0);
}

#[test]
fn scrub_is_due_for_oldest_verification() {
    let temp = tempfile::tempdir().unwrap();
    let (old, new) = (blob(1, 2_000), blob(2, 2_000));
    let day = Duration::from_hours(24);
    let cache = open(temp.path(), 1 << 20);
    assert!(cache.scrub_due(Duration::ZERO, 9).is_empty());
    fill(&cache, &old).unwrap();
    fill(&cache, &new).unwrap();
    assert!(cache.scrub_due(day, 9).is_empty());
    let proof = cache.list().iter().find(|it| it.digest == Digest::of(&old)).unwrap().verified.unwrap();
    cache.store.index().set_scrubbed(&Digest::of(&old), proof - day);
    assert_eq!(cache.scrub_due(day, 9), [Digest::of(&old)]);
    assert!(matches!(cache.verify(&Digest::of(&old)), ScrubOutcome::Verified));
    assert!(cache.scrub_due(day, 9).is_empty());
    drop(cache);
    assert!(open(temp.path(), 1 << 20).scrub_due(day, 9).is_empty(), "it is saved on the disk");
}

#[test]
fn scrub_stops_on_request() {
    let temp = tempfile::tempdir().unwrap();
    let cache = open(temp.path(), 4 << 20);
    let bytes = blob(1, 3 << 20);
    let digest = Digest::of(&bytes);
    fill(&cache, &bytes[..1_000]).unwrap();
    let partial = cache.partial(&digest, 3 << 20, 1 << 20).unwrap();
    partial.write_at(0, &[bytes.clone().into()]).unwrap();
    partial.admit(verified(&bytes)).unwrap();
    let mut pieces = 0;
    let outcome = cache.scrub(&digest, &mut |_, _| {
        pieces += 1;
        ControlFlow::Break(())
    });
    assert!(matches!(outcome, ScrubOutcome::Stopped));
    assert_eq!(pieces, 1);
}

#[test]
fn scrub_loop_finds_corrupt_blob_and_stops() {
    let temp = tempfile::tempdir().unwrap();
    let cache = open(temp.path(), 1 << 20);
    let (good, bad) = (blob(1, 2_000), blob(2, 2_000));
    fill(&cache, &good).unwrap();
    fill(&cache, &bad).unwrap();
    damage(&cache, &Digest::of(&bad), &good);
    let (stop, stopped) = mpsc::channel();
    thread::scope(|scope| {
        let scrubbed = cache.clone();
        let looping = scope.spawn(move || scrubbed.scrub_loop(Some(Duration::ZERO), &stopped));
        let deadline = Instant::now() + stretch(Duration::from_mins(1));
        let is_found = || cache.size_of(&Digest::of(&bad)).is_none();
        while !is_found() && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(1));
        }
        drop(stop);
        looping.join().unwrap();
        assert!(is_found(), "the corrupt blob is still cached after a minute");
    });
    assert!(cache.size_of(&Digest::of(&good)).is_some());
}

#[test]
fn scrub_loop_saves_records_at_stop() {
    let temp = tempfile::tempdir().unwrap();
    let cache = open(temp.path(), 1 << 20);
    let (stop, stopped) = mpsc::channel();
    let entry = fill(&cache, &blob(1, 2_000)).unwrap();
    drop(stop);
    cache.scrub_loop(None, &stopped);
    // The cache is still in use.
    let records = crate::cache::records::read(&cache.store.dir);
    assert!(records.get(entry.digest()).is_some_and(|record| record.proof.is_some()), "{records:?}");
}
