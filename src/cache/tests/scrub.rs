//! Blobs that are not what they were, and what becomes of them.

use std::ops::ControlFlow;
use std::sync::mpsc;

use super::*;

/// Damages a proven blob behind the cache's back.
fn damage(cache: &Cache, digest: &Digest, bytes: &[u8]) {
    let path = cache.store.dir.blob(digest);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    fs::write(&path, bytes).unwrap();
}

#[test]
fn a_rotten_blob_goes_to_quarantine_and_is_filled_again() {
    let temp = tempfile::tempdir().unwrap();
    let cache = open(temp.path(), 1 << 20);
    let bytes = blob(1, 500_000);
    let digest = Digest::of(&bytes);
    let reader = fill(&cache, &bytes).unwrap();
    assert!(matches!(cache.verify(&digest), ScrubOutcome::Proven));
    let mut rotten = bytes.clone();
    rotten[400_000] ^= 1;
    damage(&cache, &digest, &rotten);
    assert!(matches!(cache.verify(&digest), ScrubOutcome::Rotted));
    assert!(cache.get(&digest).is_none() && cache.opened(&digest).is_none());
    assert_eq!(fs::read(cache.store.dir.quarantined(&digest)).unwrap(), rotten);
    assert_eq!(reader.size(), bytes.len() as u64);
    assert!(matches!(cache.verify(&digest), ScrubOutcome::Gone));
    assert_eq!(read(&fill(&cache, &bytes).unwrap()), bytes);
    assert_consistent(&cache);
}

#[test]
fn a_blob_that_lost_bytes_or_its_file_is_not_served() {
    let temp = tempfile::tempdir().unwrap();
    let (short, gone) = (blob(1, 2_000), blob(2, 2_000));
    let cache = open(temp.path(), 1 << 20);
    fill(&cache, &short).unwrap();
    fill(&cache, &gone).unwrap();
    drop(cache);
    let cache = open(temp.path(), 1 << 20);
    damage(&cache, &Digest::of(&short), &short[..1_999]);
    fs::remove_file(cache.store.dir.blob(&Digest::of(&gone))).unwrap();
    assert!(cache.get(&Digest::of(&short)).is_none());
    assert!(cache.get(&Digest::of(&gone)).is_none());
    assert_eq!((cache.stats().proven_entries, cache.stats().quarantined_entries), (0, 1));
}

#[test]
fn a_blob_whose_file_is_gone_is_no_trouble_of_the_disk() {
    let temp = tempfile::tempdir().unwrap();
    let cache = open(temp.path(), 1 << 20);
    let bytes = blob(1, 2_000);
    let digest = Digest::of(&bytes);
    let path = cache.store.dir.blob(&digest);
    let lose = |when_hashed: bool| {
        fill(&cache, &bytes).unwrap();
        damage(&cache, &digest, &bytes[..1_000].repeat(2));
        if !when_hashed {
            fs::remove_file(&path).unwrap();
        }
        let outcome = cache.verify_watched(&digest, &mut |_| {
            fs::remove_file(&path).unwrap();
            ControlFlow::Continue(())
        });
        assert!(matches!(outcome, ScrubOutcome::Gone), "{outcome:?}");
        assert_eq!(cache.size_of(&digest), None);
        assert_eq!(cache.writable(), Ok(()));
        assert_consistent(&cache);
    };
    lose(false);
    lose(true);
    assert_eq!(read(&fill(&cache, &bytes).unwrap()), bytes);
}

#[test]
fn a_quarantine_that_vanished_is_made_again() {
    let temp = tempfile::tempdir().unwrap();
    let cache = open(temp.path(), 1 << 20);
    let bytes = blob(1, 2_000);
    fill(&cache, &bytes).unwrap();
    damage(&cache, &Digest::of(&bytes), &blob(2, 2_000));
    fs::remove_dir(cache.store.dir.quarantine()).unwrap();
    assert!(matches!(cache.verify(&Digest::of(&bytes)), ScrubOutcome::Rotted));
    assert_eq!(cache.writable(), Ok(()));
    assert_consistent(&cache);
}

#[test]
fn a_blob_that_the_disk_gives_up_on_is_fetched_again() {
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
        assert!(cache.get(&digest).is_none() && cache.opened(&digest).is_none());
        assert!(cache.store.dir.quarantined(&digest).exists());
    }
    assert_eq!(read(&fill(&cache, &bytes).unwrap()), bytes);
    assert_consistent(&cache);
}

#[test]
fn a_disk_that_fails_as_a_whole_costs_no_blob() {
    let temp = tempfile::tempdir().unwrap();
    let faults = FaultPoints::default();
    let cache = Cache::open_with(settings(temp.path(), 1 << 20), faults.clone()).unwrap();
    let bytes = blob(1, 2_000);
    let digest = Digest::of(&bytes);
    fill(&cache, &bytes).unwrap();
    faults.fail(0..usize::MAX, libc::EIO);
    assert!(matches!(cache.verify(&digest), ScrubOutcome::Failed(CacheError::Io { .. })));
    assert!(cache.writable().is_err());
    assert_eq!(read(&cache.get(&digest).unwrap()), bytes, "what can still be read is served");
    faults.heal();
    assert!(matches!(cache.verify(&digest), ScrubOutcome::Proven));

    // Trouble of the system says nothing of the blob.
    faults.fail(0..1, libc::EMFILE);
    assert!(matches!(cache.verify(&digest), ScrubOutcome::Failed(CacheError::Io { .. })));
    assert_eq!(cache.stats().quarantined_entries, 0);
}

#[test]
fn a_scrub_is_due_for_the_one_longest_unverified() {
    let temp = tempfile::tempdir().unwrap();
    let (old, new) = (blob(1, 2_000), blob(2, 2_000));
    let day = Duration::from_hours(24);
    let cache = open(temp.path(), 1 << 20);
    assert_eq!(cache.scrub_due(Duration::ZERO), None);
    fill(&cache, &old).unwrap();
    fill(&cache, &new).unwrap();
    assert_eq!(cache.scrub_due(day), None);
    let file = fs::File::open(cache.store.dir.blob(&Digest::of(&old))).unwrap();
    file.set_times(fs::FileTimes::new().set_modified(SystemTime::now() - day)).unwrap();
    drop(cache);
    let cache = open(temp.path(), 1 << 20);
    assert_eq!(cache.scrub_due(day), Some(Digest::of(&old)));
    assert!(matches!(cache.verify(&Digest::of(&old)), ScrubOutcome::Proven));
    assert_eq!(cache.scrub_due(day), None);
    drop(cache);
    assert_eq!(open(temp.path(), 1 << 20).scrub_due(day), None, "a restart knows of it");
}

#[test]
fn a_scrub_stops_when_told() {
    let temp = tempfile::tempdir().unwrap();
    let cache = open(temp.path(), 4 << 20);
    let bytes = blob(1, 3 << 20);
    let digest = Digest::of(&bytes);
    fill(&cache, &bytes[..1_000]).unwrap();
    let partial = cache.partial(&digest, 3 << 20, 1 << 20).unwrap();
    partial.write_at(0, &[bytes.clone().into()]).unwrap();
    partial.admit(prove(&bytes)).unwrap();
    let mut pieces = 0;
    let outcome = cache.scrub(&digest, &mut |_, _| {
        pieces += 1;
        ControlFlow::Break(())
    });
    assert!(matches!(outcome, ScrubOutcome::Stopped));
    assert_eq!(pieces, 1);
}

#[test]
fn the_scrub_loop_finds_rot_and_ends_with_its_sender() {
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
        while cache.size_of(&Digest::of(&bad)).is_some() {
            thread::yield_now();
        }
        drop(stop);
        looping.join().unwrap();
    });
    assert!(cache.size_of(&Digest::of(&good)).is_some());
}
