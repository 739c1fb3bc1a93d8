//! Simulated power cuts and disk failures at every fault point.

use super::*;

const LIMIT: u64 = 6_000;

/// A directory in memory if possible: these tests sync often, and cut no real power.
fn tempdir() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

/// Runs every kind of change of the directory, and continues after failures, as a server does.
fn exercise(cache: &Cache) {
    let (first, second, third) = (blob(1, 2_500), blob(2, 2_500), blob(3, 1_500));
    let _ = fill(cache, &first);
    cache.save_records();
    let _ = fill(cache, &second);
    if let Ok(partial) = cache.partial(&Digest::of(&third), 1_500, PART) {
        let _ = partial.set_note("note");
        let _ = write_parts(&partial, &third[..1_000].repeat(2)[..1_500]);
        let _ = partial.reset();
        let _ = partial.write_at(0, &[Bytes::copy_from_slice(&third[..1_000])]);
        let _ = partial.finish_parts(&[0]);
    }
    if let Ok(partial) = cache.partial(&Digest::of(b"discarded"), 500, PART) {
        partial.discard();
    }
    // Verified again, as after a restore.
    cache.store.index().revoke(&Digest::of(&first), |_, _| true);
    let _ = cache.verify(&Digest::of(&first));
    cache.save_records();
    cache.quarantine(&Digest::of(&second));
    let _ = cache.evict(&Digest::of(&first));
    let _ = fill(cache, &first);
    let _ = fill(cache, &third);
    drop(cache.partial(&Digest::of(b"left"), 500, PART));
}

/// Asserts that after a crash all blobs are complete, leftovers are removed, and every fill succeeds.
fn assert_recovered(dir: &Path, at: &str) {
    let cache = open(dir, LIMIT);
    assert_eq!(cache.probe(), Ok(()), "{at}");
    assert_consistent(&cache);
    for it in cache.list() {
        // One without a record is complete all the same.
        let entry = cache.get(&it.digest);
        assert_eq!(entry.is_some(), it.verified.is_some(), "{at}");
        let verified = cache.verify(&it.digest);
        assert!(matches!(verified, ScrubOutcome::Verified), "{at}: {verified:?}");
        assert_eq!(Digest::of(&read(&cache.get(&it.digest).unwrap())), it.digest, "{at}");
    }
    for bytes in [blob(1, 2_500), blob(2, 2_500), blob(3, 1_500)] {
        let digest = Digest::of(&bytes);
        if cache.get(&digest).is_some() {
            continue;
        }
        let partial = cache.partial(&digest, bytes.len() as u64, PART).unwrap();
        for (index, start) in (0..bytes.len()).step_by(1_000).enumerate() {
            if partial.parts()[index] {
                let end = bytes.len().min(start + 1_000);
                let mut part = vec![0; end - start];
                partial.read_at(start as u64, &mut part).unwrap();
                assert_eq!(part, bytes[start..end], "{at}: a part counts as written and is not");
            }
        }
        write_parts(&partial, &bytes).unwrap();
        partial.admit(verified(&bytes)).unwrap();
    }
    assert_consistent(&cache);
}

#[test]
fn crash_at_any_step_leaves_valid_cache() {
    let count = {
        let temp = tempdir();
        let faults = FaultPoints::default();
        exercise(&Cache::open_with(settings(temp.path(), LIMIT), faults.clone()).unwrap());
        faults.record().len()
    };
    assert!(count > 60, "{count} fault points are too few");
    for step in 0..count {
        let temp = tempdir();
        let faults = FaultPoints::default();
        faults.fail(step..usize::MAX, libc::EIO);
        let cache = Cache::open_with(settings(temp.path(), LIMIT), faults.clone()).unwrap();
        exercise(&cache);
        drop(cache);
        let last = faults.record().swap_remove(step);
        assert_recovered(temp.path(), &format!("after the step before {last}"));
    }
}

#[test]
fn single_failure_leaks_no_space() {
    for errno in [libc::EIO, libc::ENOSPC, libc::EROFS] {
        for step in 0.. {
            let temp = tempdir();
            let faults = FaultPoints::default();
            let cache = Cache::open_with(settings(temp.path(), LIMIT), faults.clone()).unwrap();
            faults.record();
            faults.fail(step..step + 1, errno);
            exercise(&cache);
            faults.heal();
            if faults.record().len() <= step {
                break;
            }
            assert_eq!(cache.probe(), Ok(()));
            // Files that could not be removed may stay until the next start; reservations must not.
            let stats = cache.stats();
            let all = stats.blob_bytes + stats.partial_bytes + stats.quarantined_bytes;
            assert!(all <= LIMIT);
            let partial = cache.partial(&Digest::of(b"all of it"), LIMIT, PART).unwrap();
            assert_eq!(cache.stats().partial_bytes, LIMIT);
            partial.discard();
            assert_eq!(cache.stats().partial_bytes, 0);
            drop((cache, partial));
            assert_recovered(temp.path(), &format!("step {step}, error {errno}"));
        }
    }
}

#[test]
fn crash_before_record_leaves_unverified_blob() {
    let temp = tempdir();
    let (recorded, unrecorded) = (blob(1, 2_500), blob(2, 1_500));
    let faults = FaultPoints::default();
    let cache = Cache::open_with(settings(temp.path(), LIMIT), faults.clone()).unwrap();
    fill(&cache, &recorded).unwrap();
    cache.save_records();
    fill(&cache, &unrecorded).unwrap();
    faults.fail(0..usize::MAX, libc::EIO);
    cache.save_records();
    drop(cache);
    let cache = open(temp.path(), LIMIT);
    assert_eq!(read(&cache.get(&Digest::of(&recorded)).unwrap()), recorded);
    assert!(cache.get(&Digest::of(&unrecorded)).is_none());
    assert_eq!(cache.unverified_size_of(&Digest::of(&unrecorded)), Some(1_500));
}

#[test]
fn records_are_synced_when_saved() {
    let temp = tempdir();
    let faults = FaultPoints::default();
    let cache = Cache::open_with(settings(temp.path(), LIMIT), faults.clone()).unwrap();
    fill(&cache, &blob(1, 1_500)).unwrap();
    faults.record();
    cache.save_records();
    let steps = faults.record();
    assert!(steps.iter().any(|step| step.starts_with("fsync ") && step.ends_with("verified.log.new")), "{steps:?}");
    fill(&cache, &blob(2, 1_500)).unwrap();
    faults.record();
    cache.save_records();
    let file = cache.store.dir.records();
    assert_eq!(faults.record(), [format!("write {}", file.display()), format!("fdatasync {}", file.display())]);
    cache.save_records();
    assert!(faults.record().is_empty(), "nothing was added");
}

#[test]
fn admission_syncs_in_safe_order() {
    let temp = tempdir();
    let faults = FaultPoints::default();
    let cache = Cache::open_with(settings(temp.path(), LIMIT), faults.clone()).unwrap();
    let bytes = blob(1, 1_500);
    let partial = cache.partial(&Digest::of(&bytes), 1_500, PART).unwrap();
    write_parts(&partial, &bytes).unwrap();
    faults.record();
    partial.admit(verified(&bytes)).unwrap();
    let dir = &cache.store.dir;
    let digest = Digest::of(&bytes);
    let (blob, partial) = (dir.blob(&digest), dir.partial(&digest));
    let step = |action: &str, path: &Path| format!("{action} {}", path.display());
    let shard = blob.parent().unwrap();
    assert_eq!(
        faults.record(),
        [
            step("seal", &partial),
            step("fsync", &partial),
            step("create", shard),
            step("fsync", &dir.blobs()),
            step("rename", &blob),
            step("fsync", shard),
            step("remove", &dir.log(&digest)),
            step("fsync", &dir.partials()),
        ]
    );
}

#[test]
fn failed_fsync_prevents_admission() {
    let temp = tempdir();
    let faults = FaultPoints::default();
    let cache = Cache::open_with(settings(temp.path(), LIMIT), faults.clone()).unwrap();
    let bytes = blob(1, 2_500);
    let digest = Digest::of(&bytes);
    let partial = cache.partial(&digest, 2_500, PART).unwrap();
    write_parts(&partial, &bytes).unwrap();
    faults.record();
    // The second fault point is the fsync. The kernel reports such a failure only once.
    faults.fail(1..2, libc::EIO);
    let error = partial.admit(verified(&bytes)).unwrap_err();
    assert!(error.to_string().starts_with("fsync "), "{error}");
    let error = partial.admit(verified(&bytes)).unwrap_err();
    assert!(error.to_string().starts_with("sync "), "{error}");
    assert!(partial.finish_parts(&[0]).is_err() && partial.write_at(0, &[Bytes::new()]).is_err());
    assert_eq!(partial.parts(), [false; 3]);
    partial.reset().unwrap();
    write_parts(&partial, &bytes).unwrap();
    assert_eq!(read(&partial.admit(verified(&bytes)).unwrap()), bytes);
}

#[test]
fn failed_admission_resumes_after_restart() {
    let temp = tempdir();
    let faults = FaultPoints::default();
    let cache = Cache::open_with(settings(temp.path(), LIMIT), faults.clone()).unwrap();
    let bytes = blob(1, 2_500);
    let digest = Digest::of(&bytes);
    let partial = cache.partial(&digest, 2_500, PART).unwrap();
    write_parts(&partial, &bytes).unwrap();
    faults.fail(2..usize::MAX, libc::EIO);
    partial.admit(verified(&bytes)).unwrap_err();
    let mode = |cache: &Cache| fs::metadata(cache.store.dir.partial(&digest)).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&cache), 0o444, "it was sealed already");
    drop((cache, partial));
    let cache = open(temp.path(), LIMIT);
    let partial = cache.partial(&digest, 2_500, PART).unwrap();
    assert_eq!((partial.parts(), mode(&cache)), (vec![true; 3], 0o644));
    partial.admit(verified(&bytes)).unwrap();
}
