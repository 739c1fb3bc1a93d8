//! Blobs sealed after their admission. The seals are simulated: see tests/integration/seals.rs for real ones.

use std::time::Instant;

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
