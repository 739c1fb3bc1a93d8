//! Partials: written in parts, resumed, admitted only if verified.

use super::*;
use crate::error_chain::error_chain;

#[test]
fn fill_resumes_after_restart() {
    let temp = tempfile::tempdir().unwrap();
    let bytes = blob(1, 4_500);
    let digest = Digest::of(&bytes);
    {
        let cache = open(temp.path(), 1 << 20);
        let partial = cache.partial(&digest, 4_500, PART).unwrap();
        partial.write_at(1_000, &[Bytes::copy_from_slice(&bytes[1_000..2_000])]).unwrap();
        partial.finish_parts(&[1]).unwrap();
        partial.set_note("s3://bucket/key \"etag\"").unwrap();
        drop((cache, partial));
    }
    let cache = open(temp.path(), 1 << 20);
    assert_eq!(cache.stats().partial_bytes, 4_500, "its space is reserved");
    let partial = cache.partial(&digest, 4_500, PART).unwrap();
    assert_eq!(partial.parts(), [false, true, false, false, false]);
    assert_eq!(partial.note().as_deref(), Some("s3://bucket/key \"etag\""));
    let mut part = [0; 1_000];
    partial.read_at(1_000, &mut part).unwrap();
    assert_eq!(part, bytes[1_000..2_000]);
    assert!(matches!(cache.partial(&digest, 4_500, PART), Err(CacheError::Busy(busy)) if busy == digest));
    write_parts(&partial, &bytes).unwrap();
    assert_eq!(read(&partial.admit(verified(&bytes)).unwrap()), bytes);
    assert_consistent(&cache);
}

#[test]
fn other_size_starts_from_scratch() {
    let temp = tempfile::tempdir().unwrap();
    let cache = open(temp.path(), 1 << 20);
    let digest = Digest::of(b"");
    cache.partial(&digest, 4_500, PART).unwrap().finish_parts(&[0]).unwrap();
    assert_eq!(cache.partial(&digest, 3_000, PART).unwrap().parts(), [false; 3]);
    assert_eq!(cache.stats().partial_bytes, 3_000);
    assert_eq!(cache.partial(&digest, 3_000, 1_500).unwrap().parts(), [false; 2]);
    assert_consistent(&cache);
}

#[test]
fn fill_resumes_with_other_part_size() {
    let temp = tempfile::tempdir().unwrap();
    let bytes = blob(1, 4_500);
    let digest = Digest::of(&bytes);
    {
        let cache = open(temp.path(), 1 << 20);
        let partial = cache.partial(&digest, 4_500, 2_000).unwrap();
        partial.write_at(2_000, &[Bytes::copy_from_slice(&bytes[2_000..])]).unwrap();
        partial.finish_parts(&[1, 2]).unwrap();
        drop((cache, partial));
    }
    let cache = open(temp.path(), 1 << 20);
    let partial = cache.partial(&digest, 4_500, PART).unwrap();
    assert_eq!(partial.parts(), [false, false, true, true, true]);
    write_parts(&partial, &bytes).unwrap();
    assert_eq!(read(&partial.admit(verified(&bytes)).unwrap()), bytes);
    assert_consistent(&cache);
}

#[test]
fn readers_continue_after_partial_ends() {
    let temp = tempfile::tempdir().unwrap();
    let cache = open(temp.path(), 1 << 20);
    let bytes = blob(1, 1_500);
    let mut read = vec![0; 1_500];
    let admitted = cache.partial(&Digest::of(&bytes), 1_500, PART).unwrap();
    write_parts(&admitted, &bytes).unwrap();
    admitted.admit(verified(&bytes)).unwrap();
    admitted.read_at(0, &mut read).unwrap();
    assert_eq!(read, bytes);
    let ended = format!("the partial of {} was admitted or discarded already", Digest::of(&bytes));
    assert_eq!(admitted.write_at(0, &[Bytes::from_static(b"!")]).unwrap_err().to_string(), ended);
    assert_eq!(admitted.admit(verified(&bytes)).unwrap_err().to_string(), ended);
    admitted.discard();
    assert_eq!(cache.size_of(&Digest::of(&bytes)), Some(1_500));

    let bytes = blob(2, 1_500);
    let discarded = cache.partial(&Digest::of(&bytes), 1_500, PART).unwrap();
    write_parts(&discarded, &bytes).unwrap();
    discarded.discard();
    discarded.read_at(0, &mut read).unwrap();
    assert_eq!(read, bytes);
    // Dropping it does not affect the next fill.
    let next = cache.partial(&Digest::of(&bytes), 1_500, PART).unwrap();
    drop(discarded);
    assert!(matches!(cache.partial(&Digest::of(&bytes), 1_500, PART), Err(CacheError::Busy(_))));
    drop(next);
    assert_consistent(&cache);
}

#[test]
fn admission_requires_matching_digest_and_size() {
    let temp = tempfile::tempdir().unwrap();
    let cache = open(temp.path(), 1 << 20);
    let (bytes, other) = (blob(1, 1_500), blob(2, 1_500));
    let (digest, wrong) = (Digest::of(&bytes), Digest::of(&other));
    let partial = cache.partial(&digest, 1_500, PART).unwrap();
    let error = partial.admit(verified(&other)).unwrap_err();
    assert_eq!(error.to_string(), format!("the verified bytes have the digest {wrong}, the partial is of {digest}"));
    partial.discard();
    let partial = cache.partial(&digest, 1_501, PART).unwrap();
    let error = partial.admit(verified(&bytes)).unwrap_err();
    assert_eq!(error.to_string(), format!("1500 bytes of {digest} were verified, the partial has 1501"));
    assert!(cache.get(&digest).is_none());
}

#[test]
fn writes_stay_within_the_partial() {
    let temp = tempfile::tempdir().unwrap();
    let cache = open(temp.path(), 1 << 20);
    let partial = cache.partial(&Digest::of(b""), 5_000, PART).unwrap();
    // More pieces than one system call accepts.
    let pieces: Vec<_> = (0..5_000).map(|at| Bytes::from(vec![u8::try_from(at % 251).unwrap()])).collect();
    partial.write_at(0, &pieces).unwrap();
    let mut read = vec![0; 5_000];
    partial.read_at(0, &mut read).unwrap();
    assert!(read.iter().zip(&pieces).all(|(byte, piece)| piece[..] == [*byte]));
    let error = partial.write_at(4_999, &[Bytes::from_static(b"ab")]).unwrap_err();
    assert!(error_chain(&error).to_string().ends_with("2 bytes at 4999 do not fit into 5000"), "{error}");
    let error = partial.finish_parts(&[5]).unwrap_err();
    assert!(error_chain(&error).to_string().ends_with("there is no part 5"), "{error}");
    assert!(partial.read_at(4_999, &mut [0; 2]).is_err());
    assert_eq!(cache.probe(), Ok(()), "a caller's mistake is not a failure of the disk");
}

#[test]
fn unnamed_partial_becomes_whole_one() {
    let temp = tempfile::tempdir().unwrap();
    let bytes = blob(1, 4_500);
    let digest = Digest::of(&bytes);
    let cache = open(temp.path(), 1 << 20);
    let mut unnamed = cache.unnamed_partial(4_500).unwrap();
    assert_eq!(cache.stats().partial_bytes, 4_500, "its space is reserved");
    unnamed.write_at(0, &[Bytes::copy_from_slice(&bytes[..2_000])]).unwrap();
    unnamed.write_at(2_000, &[Bytes::copy_from_slice(&bytes[2_000..])]).unwrap();
    assert!(unnamed.name(&digest, PART).unwrap());
    assert_consistent(&cache);
    let partial = cache.partial(&digest, 4_500, PART).unwrap();
    assert_eq!(partial.parts(), [true; 5]);
    assert_eq!(read(&partial.admit(verified(&bytes)).unwrap()), bytes);
    assert_consistent(&cache);
}

#[test]
fn unnamed_partial_replaces_nothing() {
    let temp = tempfile::tempdir().unwrap();
    let (cached, filling) = (blob(1, 1_500), blob(2, 1_500));
    let cache = open(temp.path(), 1 << 20);
    fill(&cache, &cached).unwrap();
    let partial = cache.partial(&Digest::of(&filling), 1_500, PART).unwrap();
    for digest in [&cached, &filling].map(|bytes| Digest::of(bytes)) {
        assert!(!cache.unnamed_partial(1_500).unwrap().name(&digest, PART).unwrap());
    }
    drop(partial);
    drop(cache.unnamed_partial(3_000).unwrap());
    let stats = cache.stats();
    assert_eq!((stats.blob_entries, stats.partial_entries, stats.partial_bytes), (1, 1, 1_500));
    assert_consistent(&cache);
}

#[test]
fn unnamed_partial_without_space_is_refused() {
    let temp = tempfile::tempdir().unwrap();
    let cache = open(temp.path(), 2_000);
    let unnamed = cache.unnamed_partial(1_500).unwrap();
    assert!(matches!(cache.unnamed_partial(1_500), Err(CacheError::NoSpace { wanted: 1_500, .. })));
    drop(unnamed);
    assert!(cache.unnamed_partial(1_500).is_ok());
}

#[test]
fn unnamed_partial_of_crash_is_removed() {
    let temp = tempfile::tempdir().unwrap();
    let cache = open(temp.path(), 1 << 20);
    let unnamed = cache.unnamed_partial(1_500).unwrap();
    let files = || std::fs::read_dir(temp.path().join("partial")).unwrap().count();
    assert_eq!(files(), 1);
    // As a crash leaves it.
    let copy = temp.path().join("partial").join(Digest::of(b"random").to_string());
    std::fs::write(&copy, [7; 1_500]).unwrap();
    drop((unnamed, cache));
    let cache = open(temp.path(), 1 << 20);
    assert_eq!((files(), cache.stats().partial_bytes), (0, 0));
}
