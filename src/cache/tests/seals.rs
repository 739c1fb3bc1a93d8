//! Blobs sealed after their admission. The seals are simulated: see tests/integration/seals.rs for real ones.

use std::time::{Instant, SystemTime};

use bootdepot_test_support::deadline::stretch;

use super::seal::{FakeSeals, Seals};
use super::*;

fn sealing(dir: &Path, seal: SealPolicy) -> CacheSettings {
    CacheSettings { seal, ..settings(dir, 1 << 20) }
}

/// A cache whose file system can seal files.
fn open_with_seals(dir: &Path, fake: &FakeSeals) -> Cache {
    let seals = Seals::Fake(fake.clone());
    Cache::open_with_seals(sealing(dir, SealPolicy::Auto), seals, FaultPoints::default()).unwrap()
}

fn is_sealed(cache: &Cache, bytes: &[u8]) -> bool {
    let file = fs::File::open(cache.store.dir.blob(&Digest::of(bytes))).unwrap();
    cache.store.sealer.measure(&file).is_some()
}

#[test]
fn blob_is_sealed_once_writers_close() {
    let temp = tempfile::tempdir().unwrap();
    let cache = open_with_seals(temp.path(), &FakeSeals::default());
    assert_eq!(cache.seal_support(), SealSupport::Supported);
    let bytes = blob(1, 2_000);
    let partial = cache.partial(&Digest::of(&bytes), 2_000, PART).unwrap();
    write_parts(&partial, &bytes).unwrap();
    partial.admit(verified(&bytes)).unwrap();
    cache.seal_admitted();
    assert!(!is_sealed(&cache, &bytes), "the partial has it open for writing");
    drop(partial);
    cache.seal_admitted();
    assert!(is_sealed(&cache, &bytes));
    assert_eq!(read(&cache.get(&Digest::of(&bytes)).unwrap()), bytes);
    assert_consistent(&cache);
}

#[test]
fn discarded_partial_is_not_sealed() {
    let temp = tempfile::tempdir().unwrap();
    let cache = open_with_seals(temp.path(), &FakeSeals::default());
    cache.partial(&Digest::of(b"discarded"), 9, PART).unwrap().discard();
    assert!(cache.store.sealer.queue().take_due().is_none());
}

#[test]
fn busy_file_is_sealed_later() {
    let temp = tempfile::tempdir().unwrap();
    let fake = FakeSeals::default();
    let cache = open_with_seals(temp.path(), &fake);
    let bytes = blob(1, 2_000);
    fake.set_busy(1);
    fill(&cache, &bytes).unwrap();
    cache.seal_admitted();
    assert!(!is_sealed(&cache, &bytes));
    thread::scope(|scope| {
        let sealing = scope.spawn(|| cache.seal_loop());
        let deadline = Instant::now() + stretch(Duration::from_mins(1));
        while !is_sealed(&cache, &bytes) && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(1));
        }
        cache.stop_sealing();
        sealing.join().unwrap();
    });
    assert!(is_sealed(&cache, &bytes));
}

/// Fills a cache with a sealed blob, and closes it.
fn sealed_blob(dir: &Path, fake: &FakeSeals) -> (Vec<u8>, Digest) {
    let cache = open_with_seals(dir, fake);
    let bytes = blob(1, 2_000);
    fill(&cache, &bytes).unwrap();
    cache.seal_admitted();
    assert_eq!(cache.stats().sealed_entries, 1);
    (bytes.clone(), Digest::of(&bytes))
}

/// Changes the identity of a blob's file, but no byte of it.
fn change_metadata(cache: &Cache, digest: &Digest) {
    let path = cache.store.dir.blob(digest);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    fs::hard_link(&path, path.with_extension("link")).unwrap();
    fs::remove_file(path.with_extension("link")).unwrap();
}

#[test]
fn seal_verifies_file_with_changed_metadata() {
    let temp = tempfile::tempdir().unwrap();
    let fake = FakeSeals::default();
    let (bytes, digest) = sealed_blob(temp.path(), &fake);
    for round in 0..3 {
        let cache = open_with_seals(temp.path(), &fake);
        let (unverified, sealed) = if round == 0 { (0, 1) } else { (1, 0) };
        let stats = cache.stats();
        assert_eq!((stats.unverified_entries, stats.sealed_entries), (unverified, sealed), "round {round}");
        if round == 1 {
            // As the scrub does, which has it first.
            assert_eq!(cache.scrub_due(Duration::from_hours(1), 2), [digest]);
            assert!(cache.is_proven_by_seal(&digest));
        }
        let verified = |cache: &Cache| cache.list()[0].verified;
        assert_eq!(read(&cache.get(&digest).unwrap()), bytes);
        assert_eq!((cache.stats().unverified_entries, cache.stats().sealed_entries), (0, 1));
        assert!(verified(&cache).is_some_and(|at| at < SystemTime::now()), "the time of its last hash");
        assert!(!cache.is_proven_by_seal(&digest), "it is verified already");
        change_metadata(&cache, &digest);
    }
}

#[test]
fn sealed_blob_in_use_survives_metadata_change() {
    let temp = tempfile::tempdir().unwrap();
    let fake = FakeSeals::default();
    let (bytes, digest) = sealed_blob(temp.path(), &fake);
    let cache = open_with_seals(temp.path(), &fake);
    let (first, second) = (cache.get(&digest).unwrap(), cache.get(&digest).unwrap());
    change_metadata(&cache, &digest);
    assert!(cache.is_intact(&first) && cache.is_unchanged(&second), "its bytes are those that were sealed");
    assert_eq!(read(&cache.get(&digest).unwrap()), bytes);

    let unsealed = blob(2, 2_000);
    let entry = fill(&cache, &unsealed).unwrap();
    change_metadata(&cache, &Digest::of(&unsealed));
    assert!(!cache.is_intact(&entry));
}

#[test]
fn blob_stays_verified_while_sealed() {
    let temp = tempfile::tempdir().unwrap();
    let fake = FakeSeals::default();
    let cache = open_with_seals(temp.path(), &fake);
    let (bytes, during) = (blob(1, 2_000), std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0)));
    let digest = Digest::of(&bytes);
    let entry = fill(&cache, &bytes).unwrap();
    let (before, sealing, ran) = (*entry.blob().identity(), cache.clone(), during.clone());
    fake.set_during(move || {
        let entry = sealing.get_if_open(&digest).unwrap();
        assert!(!entry.blob().is_unchanged(), "the kernel has set the times of the file");
        assert!(sealing.is_unchanged(&entry) && sealing.is_intact(&entry));
        assert_eq!(sealing.store.open_file(&digest, 0).unwrap().identity(), &before, "another reader opens it");
        ran.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    });
    cache.seal_admitted();
    assert_eq!(during.load(std::sync::atomic::Ordering::Relaxed), 1);
    assert!(cache.is_intact(&entry), "a reader that began before");
    assert_eq!(cache.stats().unverified_entries, 0);
    let sealed = cache.get(&digest).unwrap();
    assert!(sealed.blob().is_unchanged() && *sealed.blob().identity() != before);
    assert_eq!(read(&sealed), bytes);
    fake.set_during(|| ());
    drop((entry, sealed, cache));
    assert_eq!(open_with_seals(temp.path(), &fake).stats().sealed_entries, 1, "its new identity is recorded");
}

#[test]
fn reader_is_intact_before_sealed_blob_is_hashed() {
    let temp = tempfile::tempdir().unwrap();
    let cache = open_with_seals(temp.path(), &FakeSeals::default());
    let bytes = blob(1, 2_000);
    let entry = fill(&cache, &bytes).unwrap();
    let file = fs::File::open(cache.store.dir.blob(&Digest::of(&bytes))).unwrap();
    for _ in 0..2 {
        cache.seal_file(&Digest::of(&bytes), &file).unwrap();
        assert!(!entry.blob().is_unchanged() && cache.is_intact(&entry));
    }
    assert_eq!(cache.stats().sealed_entries, 0, "its seal is not recorded before it is hashed");
    assert!(cache.get(&Digest::of(&bytes)).unwrap().blob().is_unchanged());
}

#[test]
fn unverified_blob_is_admitted_while_sealed() {
    let temp = tempfile::tempdir().unwrap();
    let fake = FakeSeals::default();
    let (bytes, path) = (blob(1, 2_000), temp.path().join("verified.log"));
    fill(&open_with_seals(temp.path(), &fake), &bytes).unwrap();
    fs::remove_file(path).unwrap();
    let cache = open_with_seals(temp.path(), &fake);
    let digest = Digest::of(&bytes);
    let hashed = cache.unverified(&digest, None).unwrap();
    let during = cache.clone();
    // The scrub has it at the same time as a fill.
    fake.set_during(move || drop(during.unverified(&digest, None).unwrap().admit(&verified(&bytes)).unwrap()));
    assert!(matches!(cache.verify(&digest), ScrubOutcome::Verified));
    assert!(hashed.admit(&verified(&blob(1, 2_000))).is_some());
    let stats = cache.stats();
    assert_eq!((stats.blob_entries, stats.unverified_entries, stats.quarantined_entries), (1, 0, 0));
    assert!(cache.get(&digest).unwrap().blob().is_unchanged());
}

#[test]
fn write_before_seal_is_still_noticed() {
    let temp = tempfile::tempdir().unwrap();
    let fake = FakeSeals::default();
    let cache = open_with_seals(temp.path(), &fake);
    let bytes = blob(1, 2_000);
    let entry = fill(&cache, &bytes).unwrap();
    damage(&cache, &Digest::of(&bytes), &blob(2, 2_000));
    let reading = cache.clone();
    fake.set_during(move || assert!(!reading.is_intact(&entry), "its bytes were changed before"));
    cache.seal_admitted();
    assert_eq!(cache.stats().quarantined_entries, 1);
}

#[test]
fn other_file_is_not_verified_by_seal() {
    let temp = tempfile::tempdir().unwrap();
    let fake = FakeSeals::default();
    let (bytes, digest) = sealed_blob(temp.path(), &fake);
    let path = open_with_seals(temp.path(), &fake).store.dir.blob(&digest);
    for (other, sealed) in [(bytes.clone(), false), (blob(2, 2_000), false), (blob(2, 2_000), true)] {
        fs::write(path.with_extension("new"), &other).unwrap();
        if sealed {
            Seals::Fake(fake.clone()).seal(&fs::File::open(path.with_extension("new")).unwrap()).unwrap();
        }
        fs::rename(path.with_extension("new"), &path).unwrap();
        let cache = open_with_seals(temp.path(), &fake);
        assert!(cache.get(&digest).is_none() && !cache.is_proven_by_seal(&digest));
        assert_eq!(cache.stats().unverified_entries, 1);
    }
}

#[test]
fn blob_without_seal_is_sealed_by_scrub() {
    let temp = tempfile::tempdir().unwrap();
    let fake = FakeSeals::default();
    let bytes = blob(1, 2_000);
    // A server that was stopped before it sealed the blob.
    fill(&open_with_seals(temp.path(), &fake), &bytes).unwrap();
    let cache = open_with_seals(temp.path(), &fake);
    assert_eq!(cache.stats().sealed_entries, 0);
    assert!(matches!(cache.verify(&Digest::of(&bytes)), ScrubOutcome::Verified));
    assert_eq!(cache.stats().sealed_entries, 1);
}

#[test]
fn corrupt_blob_is_quarantined_after_its_seal() {
    let temp = tempfile::tempdir().unwrap();
    let cache = open_with_seals(temp.path(), &FakeSeals::default());
    let bytes = blob(1, 2_000);
    fill(&cache, &bytes).unwrap();
    // The disk returns other bytes when the kernel builds the tree, which then is a tree of wrong bytes.
    fs::write(cache.store.dir.blob(&Digest::of(&bytes)), blob(2, 2_000)).unwrap();
    cache.seal_admitted();
    assert!(cache.get(&Digest::of(&bytes)).is_none());
    assert_eq!(cache.stats().quarantined_entries, 1);
}

#[test]
fn unsupported_seals_are_an_error_if_required() {
    let temp = tempfile::tempdir().unwrap();
    let cache = Cache::open(sealing(temp.path(), SealPolicy::Auto)).unwrap();
    let SealSupport::Unsupported(reason) = cache.seal_support() else {
        bootdepot_test_support::skip::note("the file system of temporary files supports fs-verity");
        return;
    };
    let bytes = blob(1, 2_000);
    assert_eq!(read(&fill(&cache, &bytes).unwrap()), bytes, "blobs are cached all the same");
    assert!(cache.store.sealer.queue().take_due().is_none());
    drop(cache);
    let error = Cache::open(sealing(temp.path(), SealPolicy::Require)).err().unwrap();
    let dir = temp.path().display();
    assert_eq!(
        error.to_string(),
        format!("[cache] seal is \"require\", but blobs in {dir} cannot be sealed: {reason}")
    );
}

#[test]
fn seals_that_are_off_are_not_made() {
    let temp = tempfile::tempdir().unwrap();
    let seals = Seals::Fake(FakeSeals::default());
    let settings = sealing(temp.path(), SealPolicy::Off);
    let cache = Cache::open_with_seals(settings, seals, FaultPoints::default()).unwrap();
    let bytes = blob(1, 2_000);
    fill(&cache, &bytes).unwrap();
    cache.seal_admitted();
    assert!(!is_sealed(&cache, &bytes));
    assert_eq!(fs::metadata(cache.store.dir.blob(&Digest::of(&bytes))).unwrap().permissions().mode() & 0o777, 0o444);
}
