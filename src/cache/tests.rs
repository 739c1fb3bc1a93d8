//! The cache as a whole, on real directories.

mod crash;
mod trouble;

use std::collections::HashSet;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, SystemTime};

use bytes::Bytes;

use super::*;
use crate::asset::{ByteRange, Proven, Verifier};

const PART: u64 = 1000;

fn settings(dir: &Path, max_size: u64) -> CacheSettings {
    CacheSettings { dir: dir.to_owned(), max_size, min_free: 0 }
}

fn open(dir: &Path, max_size: u64) -> Cache {
    Cache::open(settings(dir, max_size)).unwrap()
}

/// A blob of `size` bytes, different for each `seed`.
fn blob(seed: u8, size: usize) -> Vec<u8> {
    (0..size).map(|at| u8::try_from(at * 7 % 251).unwrap() ^ seed).collect()
}

fn prove(bytes: &[u8]) -> Proven {
    let mut verifier = Verifier::new();
    verifier.update(bytes);
    verifier.prove(&Digest::of(bytes)).unwrap()
}

/// Writes what is not here yet, part by part.
fn write_parts(partial: &Partial, bytes: &[u8]) -> Result<(), CacheError> {
    for (index, here) in partial.parts().into_iter().enumerate() {
        if !here {
            let start = index * usize::try_from(PART).unwrap();
            let part = &bytes[start..bytes.len().min(start + usize::try_from(PART).unwrap())];
            let (head, tail) = part.split_at(part.len() / 3);
            let pieces = [Bytes::copy_from_slice(head), Bytes::new(), Bytes::copy_from_slice(tail)];
            partial.write_at(start as u64, &pieces)?;
            partial.finish_part(index)?;
        }
    }
    Ok(())
}

fn fill(cache: &Cache, bytes: &[u8]) -> Result<Entry, CacheError> {
    let partial = cache.partial(&Digest::of(bytes), bytes.len() as u64, PART)?;
    write_parts(&partial, bytes)?;
    partial.admit(prove(bytes))
}

fn read(entry: &Entry) -> Bytes {
    entry.read(ByteRange::whole(entry.size())).unwrap()
}

/// Damages a proven blob behind the cache's back.
fn damage(cache: &Cache, digest: &Digest, bytes: &[u8]) {
    let path = cache.store.dir.blob(digest);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    fs::write(&path, bytes).unwrap();
}

/// What the accounts say is what is on the disk, and nothing else is there.
fn assert_consistent(cache: &Cache) {
    let found = scan::Scan::of(&cache.store.dir);
    assert!(found.leftovers.is_empty() && found.strangers.is_empty(), "{found:?}");
    let sums = |found: &[scan::Found]| (found.iter().map(|it| it.size).sum::<u64>(), found.len());
    let stats = cache.stats();
    assert_eq!((stats.proven_bytes, stats.proven_entries), sums(&found.blobs));
    assert_eq!((stats.partial_bytes, stats.partial_entries), sums(&found.partials));
    assert_eq!((stats.quarantined_bytes, stats.quarantined_entries), sums(&found.quarantined));
}

#[test]
fn a_proven_blob_is_read_in_every_way() {
    let temp = tempfile::tempdir().unwrap();
    let cache = open(temp.path(), 1 << 20);
    let bytes = blob(1, 300_000);
    let digest = Digest::of(&bytes);
    assert!(cache.get(&digest).is_none());
    let entry = fill(&cache, &bytes).unwrap();
    assert_eq!((entry.digest(), entry.size(), cache.size_of(&digest)), (&digest, 300_000, Some(300_000)));
    assert_eq!(read(&entry), bytes);
    let range = ByteRange::new(4_097, 250_001);
    assert_eq!(entry.read(range).unwrap(), bytes[4_097..250_001]);
    // Written a moment ago, so it is in memory; some file systems cannot say so.
    assert!(entry.read_resident(range).is_none_or(|read| read == bytes[4_097..250_001]));
    for window in [Some(entry.map(range).unwrap()), entry.map_resident(range)].into_iter().flatten() {
        assert_eq!(through_a_socket(&window), bytes[4_097..250_001]);
    }
    let empty = ByteRange::new(5, 5);
    assert!(entry.map(empty).unwrap().is_empty() && entry.map_resident(empty).unwrap().is_empty());
    let beyond = ByteRange::new(299_999, 300_001);
    assert_eq!(entry.read(beyond).unwrap_err().to_string(), "bytes 299999 to 300001 of a blob of 300000");
    assert!(
        entry.map(beyond).is_err() && entry.map_resident(beyond).is_none() && entry.read_resident(beyond).is_none()
    );
    assert_eq!(fs::metadata(cache.store.dir.blob(&digest)).unwrap().permissions().mode() & 0o777, 0o444);
    assert_consistent(&cache);
}

fn through_a_socket(window: &Bytes) -> Vec<u8> {
    let (mut ours, mut theirs) = UnixStream::pair().unwrap();
    thread::scope(|scope| {
        scope.spawn(move || ours.write_all(window).unwrap());
        let mut read = Vec::new();
        theirs.read_to_end(&mut read).unwrap();
        read
    })
}

#[test]
fn an_empty_blob_is_a_blob() {
    let temp = tempfile::tempdir().unwrap();
    let cache = open(temp.path(), 1 << 20);
    let entry = fill(&cache, b"").unwrap();
    assert!(read(&entry).is_empty() && entry.map(ByteRange::whole(0)).unwrap().is_empty());
    drop((entry, cache));
    assert_eq!(open(temp.path(), 1 << 20).get(&Digest::of(b"")).unwrap().size(), 0);
}

#[test]
fn a_blob_stays_open_between_uses_and_is_found_after_a_restart() {
    let temp = tempfile::tempdir().unwrap();
    let bytes = blob(1, 2_500);
    let digest = Digest::of(&bytes);
    let cache = open(temp.path(), 1 << 20);
    drop(fill(&cache, &bytes).unwrap());
    assert_eq!(read(&cache.opened(&digest).unwrap()), bytes);
    drop(cache);
    let cache = open(temp.path(), 1 << 20);
    assert_eq!(cache.size_of(&digest), Some(2_500));
    assert!(cache.opened(&digest).is_none(), "nothing was opened at the start");
    assert_eq!(read(&cache.get(&digest).unwrap()), bytes);
    assert!(cache.opened(&digest).is_some());
}

#[test]
fn a_second_cache_in_the_directory_is_refused() {
    let temp = tempfile::tempdir().unwrap();
    let cache = open(temp.path(), 1 << 20);
    let error = Cache::open(settings(temp.path(), 1 << 20)).err().unwrap();
    let (dir, pid) = (temp.path().display(), std::process::id());
    assert_eq!(
        error.to_string(),
        format!("the cache {dir} is in use by process {pid}; stop it, or give this one another [cache] dir")
    );
    drop(cache);
    open(temp.path(), 1 << 20);
}

#[test]
fn a_fill_resumes_where_it_left_off() {
    let temp = tempfile::tempdir().unwrap();
    let bytes = blob(1, 4_500);
    let digest = Digest::of(&bytes);
    {
        let cache = open(temp.path(), 1 << 20);
        let partial = cache.partial(&digest, 4_500, PART).unwrap();
        partial.write_at(1_000, &[Bytes::copy_from_slice(&bytes[1_000..2_000])]).unwrap();
        partial.finish_part(1).unwrap();
        partial.set_note("s3://bucket/key \"etag\"").unwrap();
        drop((cache, partial));
    }
    let cache = open(temp.path(), 1 << 20);
    assert_eq!(cache.stats().partial_bytes, 4_500, "its room is kept");
    let partial = cache.partial(&digest, 4_500, PART).unwrap();
    assert_eq!(partial.parts(), [false, true, false, false, false]);
    assert_eq!(partial.note().as_deref(), Some("s3://bucket/key \"etag\""));
    let mut part = [0; 1_000];
    partial.read_at(1_000, &mut part).unwrap();
    assert_eq!(part, bytes[1_000..2_000]);
    assert!(matches!(cache.partial(&digest, 4_500, PART), Err(CacheError::Busy(busy)) if busy == digest));
    write_parts(&partial, &bytes).unwrap();
    assert_eq!(read(&partial.admit(prove(&bytes)).unwrap()), bytes);
    assert_consistent(&cache);
}

#[test]
fn a_fill_of_another_size_begins_anew() {
    let temp = tempfile::tempdir().unwrap();
    let cache = open(temp.path(), 1 << 20);
    let digest = Digest::of(b"");
    cache.partial(&digest, 4_500, PART).unwrap().finish_part(0).unwrap();
    assert_eq!(cache.partial(&digest, 3_000, PART).unwrap().parts(), [false; 3]);
    assert_eq!(cache.stats().partial_bytes, 3_000);
    assert_eq!(cache.partial(&digest, 3_000, 1_500).unwrap().parts(), [false; 2]);
    assert_consistent(&cache);
}

#[test]
fn readers_of_a_partial_go_on_when_it_is_admitted_or_discarded() {
    let temp = tempfile::tempdir().unwrap();
    let cache = open(temp.path(), 1 << 20);
    let bytes = blob(1, 1_500);
    let mut read = vec![0; 1_500];
    let admitted = cache.partial(&Digest::of(&bytes), 1_500, PART).unwrap();
    write_parts(&admitted, &bytes).unwrap();
    admitted.admit(prove(&bytes)).unwrap();
    admitted.read_at(0, &mut read).unwrap();
    assert_eq!(read, bytes);
    let ended = format!("the partial of {} was admitted or discarded already", Digest::of(&bytes));
    assert_eq!(admitted.write_at(0, &[Bytes::from_static(b"!")]).unwrap_err().to_string(), ended);
    assert_eq!(admitted.admit(prove(&bytes)).unwrap_err().to_string(), ended);
    admitted.discard();
    assert_eq!(cache.size_of(&Digest::of(&bytes)), Some(1_500));

    let bytes = blob(2, 1_500);
    let discarded = cache.partial(&Digest::of(&bytes), 1_500, PART).unwrap();
    write_parts(&discarded, &bytes).unwrap();
    discarded.discard();
    discarded.read_at(0, &mut read).unwrap();
    assert_eq!(read, bytes);
    // Its end does not touch the fill that came after it.
    let next = cache.partial(&Digest::of(&bytes), 1_500, PART).unwrap();
    drop(discarded);
    assert!(matches!(cache.partial(&Digest::of(&bytes), 1_500, PART), Err(CacheError::Busy(_))));
    drop(next);
    assert_consistent(&cache);
}

#[test]
fn only_the_right_proof_admits() {
    let temp = tempfile::tempdir().unwrap();
    let cache = open(temp.path(), 1 << 20);
    let (bytes, other) = (blob(1, 1_500), blob(2, 1_500));
    let (digest, wrong) = (Digest::of(&bytes), Digest::of(&other));
    let partial = cache.partial(&digest, 1_500, PART).unwrap();
    let error = partial.admit(prove(&other)).unwrap_err();
    assert_eq!(error.to_string(), format!("{wrong} was proven, the partial is of {digest}"));
    partial.discard();
    let partial = cache.partial(&digest, 1_501, PART).unwrap();
    let error = partial.admit(prove(&bytes)).unwrap_err();
    assert_eq!(error.to_string(), format!("1500 bytes of {digest} were proven, the partial has 1501"));
    assert!(cache.get(&digest).is_none());
}

#[test]
fn writes_stay_within_the_partial() {
    let temp = tempfile::tempdir().unwrap();
    let cache = open(temp.path(), 1 << 20);
    let partial = cache.partial(&Digest::of(b""), 5_000, PART).unwrap();
    // More pieces than one system call takes.
    let pieces: Vec<_> = (0..5_000).map(|at| Bytes::from(vec![u8::try_from(at % 251).unwrap()])).collect();
    partial.write_at(0, &pieces).unwrap();
    let mut read = vec![0; 5_000];
    partial.read_at(0, &mut read).unwrap();
    assert!(read.iter().zip(&pieces).all(|(byte, piece)| piece[..] == [*byte]));
    let error = partial.write_at(4_999, &[Bytes::from_static(b"ab")]).unwrap_err();
    assert!(error.to_string().ends_with("2 bytes at 4999 do not fit into 5000"), "{error}");
    let error = partial.finish_part(5).unwrap_err();
    assert!(error.to_string().ends_with("there is no part 5"), "{error}");
    assert!(partial.read_at(4_999, &mut [0; 2]).is_err());
    assert_eq!(cache.probe(), Ok(()), "a caller's mistake is no trouble of the disk");
}

#[test]
fn the_longest_unused_go_first_and_what_is_held_stays() {
    let temp = tempfile::tempdir().unwrap();
    let cache = open(temp.path(), 10_000);
    let blobs: Vec<_> = (0..5).map(|seed| blob(seed, 2_000)).collect();
    let digests: Vec<_> = blobs.iter().map(|bytes| Digest::of(bytes)).collect();
    for bytes in &blobs {
        fill(&cache, bytes).unwrap();
    }
    let reader = cache.get(&digests[0]).unwrap();
    let window = cache.get(&digests[1]).unwrap().map(ByteRange::new(0, 100)).unwrap();
    cache.pin(&digests[2]);
    cache.get(&digests[3]).unwrap();
    assert!(matches!(cache.evict(&digests[0]), Err(EvictError::Held(_))));
    assert!(matches!(cache.evict(&digests[1]), Err(EvictError::Held(_))));
    assert!(matches!(cache.evict(&digests[2]), Err(EvictError::Pinned(_))));
    assert!(matches!(cache.evict(&Digest::of(b"")), Err(EvictError::Absent(_))));

    fill(&cache, &blob(5, 2_000)).unwrap();
    let here = |cache: &Cache| digests.iter().map(|digest| cache.size_of(digest).is_some()).collect::<Vec<_>>();
    assert_eq!(here(&cache), [true, true, true, true, false]);
    fill(&cache, &blob(6, 4_000)).unwrap();
    assert_eq!(here(&cache), [true, true, true, false, false]);
    let error = cache.partial(&Digest::of(b""), 5_000, PART).unwrap_err();
    assert_eq!(
        error.to_string(),
        "no room for 5000 bytes: max_size is 10000, and 6000 bytes are pinned, being read or being filled"
    );
    assert_eq!(cache.stats().partial_entries, 0);
    assert_eq!(read(&reader), blobs[0]);
    assert_eq!(through_a_socket(&window), blobs[1][..100]);
    drop((reader, window));
    cache.unpin(&digests[2]);
    drop(cache.partial(&Digest::of(b""), 9_000, PART).unwrap());
    assert_eq!(
        cache.evict(&Digest::of(b"")).unwrap_err().to_string(),
        format!("the blob {} is not in the cache", Digest::of(b""))
    );
    assert_consistent(&cache);
}

#[test]
fn the_order_of_uses_survives_a_restart() {
    let temp = tempfile::tempdir().unwrap();
    let blobs: Vec<_> = (0..3).map(|seed| blob(seed, 2_000)).collect();
    let cache = open(temp.path(), 6_000);
    for bytes in &blobs {
        fill(&cache, bytes).unwrap();
    }
    assert_eq!(read(&cache.get(&Digest::of(&blobs[0])).unwrap()), blobs[0]);
    let used = |cache: &Cache| {
        let mut listed = cache.list();
        listed.sort_by_key(|it| it.used);
        listed.into_iter().map(|it| (it.digest, it.used)).collect::<Vec<_>>()
    };
    let before = used(&cache);
    drop(cache);
    let cache = open(temp.path(), 6_000);
    assert_eq!(used(&cache), before);
    fill(&cache, &blob(4, 2_000)).unwrap();
    assert!(cache.size_of(&Digest::of(&blobs[0])).is_some());
    assert!(cache.size_of(&Digest::of(&blobs[1])).is_none());
}

#[test]
fn an_old_partial_goes_before_a_blob_and_one_being_filled_stays() {
    let temp = tempfile::tempdir().unwrap();
    let cache = open(temp.path(), 6_000);
    let kept = blob(1, 2_000);
    fill(&cache, &kept).unwrap();
    drop(cache.partial(&Digest::of(b"left"), 2_000, PART).unwrap());
    let filling = cache.partial(&Digest::of(b"filling"), 2_000, PART).unwrap();
    fill(&cache, &blob(2, 2_000)).unwrap();
    assert!(cache.size_of(&Digest::of(&kept)).is_some());
    assert_eq!((cache.stats().partial_entries, cache.stats().partial_bytes), (1, 2_000));
    filling.write_at(0, &[Bytes::from_static(b"still here")]).unwrap();
    assert_consistent(&cache);
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
fn quarantine_is_bounded_and_goes_first() {
    let temp = tempfile::tempdir().unwrap();
    let cache = open(temp.path(), 20_000);
    let blobs: Vec<_> = (0..18).map(|seed| blob(seed, 1_000)).collect();
    for bytes in &blobs {
        fill(&cache, bytes).unwrap();
        assert!(cache.quarantine(&Digest::of(bytes)));
    }
    assert!(!cache.quarantine(&Digest::of(b"")));
    assert_eq!(cache.stats().quarantined_entries, 16);
    let here: HashSet<_> =
        blobs.iter().map(|it| Digest::of(it)).filter(|it| cache.store.dir.quarantined(it).exists()).collect();
    assert_eq!(here, blobs[2..].iter().map(|it| Digest::of(it)).collect());
    let kept = blob(20, 4_000);
    fill(&cache, &kept).unwrap();
    fill(&cache, &blob(21, 15_000)).unwrap();
    assert!(cache.size_of(&Digest::of(&kept)).is_some());
    assert_consistent(&cache);
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
    let outcome = cache.scrub(&digest, &mut |_| {
        pieces += 1;
        std::ops::ControlFlow::Break(())
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

#[test]
fn threads_that_fill_read_and_evict_leave_the_accounts_right() {
    let temp = tempfile::tempdir().unwrap();
    let cache = open(temp.path(), 7_000);
    thread::scope(|scope| {
        for thread in 0..4u64 {
            let cache = &cache;
            scope.spawn(move || {
                let mut random = fastrand::Rng::with_seed(thread);
                for _ in 0..60 {
                    let bytes = blob(random.u8(0..6), 1_500);
                    let digest = Digest::of(&bytes);
                    match cache.get(&digest) {
                        Some(entry) => assert_eq!(read(&entry), bytes),
                        None => match fill(cache, &bytes) {
                            Ok(entry) => assert_eq!(read(&entry), bytes),
                            Err(CacheError::Busy(_) | CacheError::NoSpace { .. }) => {}
                            Err(error) => panic!("{error}"),
                        },
                    }
                    match random.u8(0..8) {
                        0 => drop(cache.evict(&digest)),
                        1 => drop(cache.quarantine(&digest)),
                        2 => drop(cache.partial(&Digest::of(b"left"), 1_500, PART)),
                        3 => drop(cache.verify(&digest)),
                        4 => drop(cache.probe()),
                        _ => {}
                    }
                }
            });
        }
    });
    assert_consistent(&cache);
    let stats = cache.stats();
    assert!(stats.proven_bytes + stats.partial_bytes + stats.quarantined_bytes <= 7_000);
    drop(cache);
    assert_eq!(open(temp.path(), 7_000).stats(), stats);
}
