//! Tests of the whole cache on real directories.

mod crash;
mod eviction;
mod failures;
mod inspection;
mod partials;
mod scrub;
mod seals;
mod unverified;

use std::collections::HashSet;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread;
use std::time::Duration;

use bootdepot_test_support::seed::seed;
use bytes::Bytes;

use super::scan::{Found, Scan};
use super::*;
use crate::asset::{ByteRange, Digest, VerifiedDigest, Verifier};
use crate::fault_points::FaultPoints;

const PART: u64 = 1000;

fn settings(dir: &Path, max_size: u64) -> CacheSettings {
    CacheSettings { dir: dir.to_owned(), max_size, min_free: 0, seal: SealPolicy::Off }
}

fn open(dir: &Path, max_size: u64) -> Cache {
    Cache::open(settings(dir, max_size)).unwrap()
}

/// The bytes of a blob; different for each `seed`.
fn blob(seed: u8, size: usize) -> Vec<u8> {
    (0..size).map(|at| u8::try_from(at * 7 % 251).unwrap() ^ seed).collect()
}

fn verified(bytes: &[u8]) -> VerifiedDigest {
    let mut verifier = Verifier::new();
    verifier.update(bytes);
    verifier.verify(&Digest::of(bytes)).unwrap()
}

/// Writes the missing parts.
fn write_parts(partial: &Partial, bytes: &[u8]) -> Result<(), CacheError> {
    for (index, is_written) in partial.parts().into_iter().enumerate() {
        if !is_written {
            let start = index * usize::try_from(PART).unwrap();
            let part = &bytes[start..bytes.len().min(start + usize::try_from(PART).unwrap())];
            let (head, tail) = part.split_at(part.len() / 3);
            let pieces = [Bytes::copy_from_slice(head), Bytes::new(), Bytes::copy_from_slice(tail)];
            partial.write_at(start as u64, &pieces)?;
            partial.finish_parts(&[index])?;
        }
    }
    Ok(())
}

fn fill(cache: &Cache, bytes: &[u8]) -> Result<Entry, CacheError> {
    let partial = cache.partial(&Digest::of(bytes), bytes.len() as u64, PART)?;
    write_parts(&partial, bytes)?;
    partial.admit(verified(bytes))
}

/// Changes the file of a blob in place, which the cache does not notice by itself.
fn damage(cache: &Cache, digest: &Digest, bytes: &[u8]) {
    let path = cache.store.dir.blob(digest);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    fs::write(&path, bytes).unwrap();
}

fn read(entry: &Entry) -> Bytes {
    entry.read(ByteRange::whole(entry.size())).unwrap()
}

/// Asserts that the index matches the disk, and that no other files are there.
fn assert_consistent(cache: &Cache) {
    let found = Scan::of(&cache.store.dir);
    assert!(found.leftovers.is_empty() && found.foreign.is_empty(), "{found:?}");
    let sums = |found: &[Found]| (found.iter().map(|it| it.file.size).sum::<u64>(), found.len());
    let stats = cache.stats();
    let blobs = (stats.blob_bytes + stats.unverified_bytes, stats.blob_entries + stats.unverified_entries);
    assert_eq!(blobs, sums(&found.blobs));
    assert_eq!((stats.partial_bytes, stats.partial_entries), sums(&found.partials));
    assert_eq!((stats.quarantined_bytes, stats.quarantined_entries), sums(&found.quarantined));
}

#[test]
fn blob_reads_equal_in_every_way() {
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
    // It was just written and so is in memory, but some file systems do not support RWF_NOWAIT.
    assert!(entry.read_resident(range).is_none_or(|read| read == bytes[4_097..250_001]));
    for window in [entry.map(range).unwrap(), entry.map_resident(range).unwrap()] {
        assert_eq!(through_socket(&window), bytes[4_097..250_001]);
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

fn through_socket(window: &Piece) -> Vec<u8> {
    let (mut ours, mut theirs) = UnixStream::pair().unwrap();
    thread::scope(|scope| {
        scope.spawn(move || ours.write_all(window.for_system_call()).unwrap());
        let mut read = Vec::new();
        theirs.read_to_end(&mut read).unwrap();
        read
    })
}

#[test]
fn empty_blob_is_cached() {
    let temp = tempfile::tempdir().unwrap();
    let cache = open(temp.path(), 1 << 20);
    let entry = fill(&cache, b"").unwrap();
    assert!(read(&entry).is_empty() && entry.map(ByteRange::whole(0)).unwrap().is_empty());
    drop((entry, cache));
    assert_eq!(open(temp.path(), 1 << 20).get(&Digest::of(b"")).unwrap().size(), 0);
}

#[test]
fn blob_stays_open_and_survives_restart() {
    let temp = tempfile::tempdir().unwrap();
    let bytes = blob(1, 2_500);
    let digest = Digest::of(&bytes);
    let cache = open(temp.path(), 1 << 20);
    drop(fill(&cache, &bytes).unwrap());
    assert_eq!(read(&cache.get_if_open(&digest).unwrap()), bytes);
    drop(cache);
    let cache = open(temp.path(), 1 << 20);
    assert_eq!(cache.size_of(&digest), Some(2_500));
    assert!(cache.get_if_open(&digest).is_none(), "nothing was opened at the start");
    assert_eq!(read(&cache.get(&digest).unwrap()), bytes);
    assert!(cache.get_if_open(&digest).is_some());
}

#[test]
fn second_cache_in_directory_is_locked() {
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
fn concurrent_use_keeps_index_consistent() {
    let temp = tempfile::tempdir().unwrap();
    let cache = open(temp.path(), 7_000);
    let seed = seed();
    thread::scope(|scope| {
        for thread in 0..4u64 {
            let cache = &cache;
            scope.spawn(move || {
                let mut random = fastrand::Rng::with_seed(seed.wrapping_add(thread));
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
    assert!(stats.blob_bytes + stats.partial_bytes + stats.quarantined_bytes <= 7_000);
    drop(cache);
    assert_eq!(open(temp.path(), 7_000).stats(), stats);
}
