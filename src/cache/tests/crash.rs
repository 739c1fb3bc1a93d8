//! The power is cut at every step, and the disk fails at every step.

use super::*;

const LIMIT: u64 = 6_000;

/// A directory in memory where there is such a thing: these tests bring a lot to the disk, and cut no real power.
fn tempdir() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

/// A bit of everything that changes the directory. Goes on whatever fails, as a server does.
fn live(cache: &Cache) {
    let (first, second, third) = (blob(1, 2_500), blob(2, 2_500), blob(3, 1_500));
    let _ = fill(cache, &first);
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
    cache.quarantine(&Digest::of(&second));
    let _ = cache.evict(&Digest::of(&first));
    let _ = fill(cache, &first);
    let _ = fill(cache, &third);
    drop(cache.partial(&Digest::of(b"left"), 500, PART));
}

/// After any crash: what is here is whole, what is left over is gone, and every fill can be done.
fn assert_recovered(dir: &Path, at: &str) {
    let cache = open(dir, LIMIT);
    assert_eq!(cache.probe(), Ok(()), "{at}");
    assert_consistent(&cache);
    for it in cache.list() {
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
                assert_eq!(part, bytes[start..end], "{at}: a part is there that is not");
            }
        }
        write_parts(&partial, &bytes).unwrap();
        partial.admit(prove(&bytes)).unwrap();
    }
    assert_consistent(&cache);
}

#[test]
fn a_crash_after_any_step_leaves_a_valid_cache() {
    let steps = {
        let temp = tempdir();
        let faults = FaultPoints::default();
        live(&Cache::open_with(settings(temp.path(), LIMIT), faults.clone()).unwrap());
        faults.record().len()
    };
    assert!(steps > 60, "{steps} steps are not a life");
    for step in 0..steps {
        let temp = tempdir();
        let faults = FaultPoints::default();
        faults.fail(step..usize::MAX, libc::EIO);
        let cache = Cache::open_with(settings(temp.path(), LIMIT), faults.clone()).unwrap();
        live(&cache);
        drop(cache);
        let last = faults.record().swap_remove(step);
        assert_recovered(temp.path(), &format!("after the step before {last}"));
    }
}

#[test]
fn no_single_failure_leaks_room_or_spoils_a_blob() {
    for errno in [libc::EIO, libc::ENOSPC, libc::EROFS] {
        for step in 0.. {
            let temp = tempdir();
            let faults = FaultPoints::default();
            let cache = Cache::open_with(settings(temp.path(), LIMIT), faults.clone()).unwrap();
            faults.record();
            faults.fail(step..step + 1, errno);
            live(&cache);
            faults.heal();
            if faults.record().len() <= step {
                break;
            }
            assert_eq!(cache.probe(), Ok(()));
            // What could not be tidied up may stay until the next start; room may not.
            let stats = cache.stats();
            let all = stats.proven_bytes + stats.partial_bytes + stats.quarantined_bytes;
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
fn admission_is_in_the_order_that_survives_a_power_cut() {
    let temp = tempdir();
    let faults = FaultPoints::default();
    let cache = Cache::open_with(settings(temp.path(), LIMIT), faults.clone()).unwrap();
    let bytes = blob(1, 1_500);
    let partial = cache.partial(&Digest::of(&bytes), 1_500, PART).unwrap();
    write_parts(&partial, &bytes).unwrap();
    faults.record();
    partial.admit(prove(&bytes)).unwrap();
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
fn bytes_that_the_disk_lost_are_never_admitted() {
    let temp = tempdir();
    let faults = FaultPoints::default();
    let cache = Cache::open_with(settings(temp.path(), LIMIT), faults.clone()).unwrap();
    let bytes = blob(1, 2_500);
    let digest = Digest::of(&bytes);
    let partial = cache.partial(&digest, 2_500, PART).unwrap();
    write_parts(&partial, &bytes).unwrap();
    faults.record();
    // seal, then the fsync that fails; the kernel would say so only once.
    faults.fail(1..2, libc::EIO);
    let error = partial.admit(prove(&bytes)).unwrap_err();
    assert!(error.to_string().starts_with("fsync "), "{error}");
    let error = partial.admit(prove(&bytes)).unwrap_err();
    assert!(error.to_string().starts_with("keep "), "{error}");
    assert!(partial.finish_parts(&[0]).is_err() && partial.write_at(0, &[Bytes::new()]).is_err());
    assert_eq!(partial.parts(), [false; 3]);
    partial.reset().unwrap();
    write_parts(&partial, &bytes).unwrap();
    assert_eq!(read(&partial.admit(prove(&bytes)).unwrap()), bytes);
}

#[test]
fn a_failed_admission_can_be_resumed_after_a_restart() {
    let temp = tempdir();
    let faults = FaultPoints::default();
    let cache = Cache::open_with(settings(temp.path(), LIMIT), faults.clone()).unwrap();
    let bytes = blob(1, 2_500);
    let digest = Digest::of(&bytes);
    let partial = cache.partial(&digest, 2_500, PART).unwrap();
    write_parts(&partial, &bytes).unwrap();
    faults.fail(2..usize::MAX, libc::EIO);
    partial.admit(prove(&bytes)).unwrap_err();
    let mode = |cache: &Cache| fs::metadata(cache.store.dir.partial(&digest)).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&cache), 0o444, "it was sealed before");
    drop((cache, partial));
    let cache = open(temp.path(), LIMIT);
    let partial = cache.partial(&digest, 2_500, PART).unwrap();
    assert_eq!((partial.parts(), mode(&cache)), (vec![true; 3], 0o644));
    partial.admit(prove(&bytes)).unwrap();
}
