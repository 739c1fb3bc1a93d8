//! The cache as a whole, on real directories.

mod crash;
mod eviction;
mod partials;
mod scrub;
mod survey;
mod trouble;

use std::collections::HashSet;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
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
            partial.finish_parts(&[index])?;
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
