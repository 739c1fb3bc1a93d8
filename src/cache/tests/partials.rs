//! Partials: written in parts, resumed, admitted on proof alone.

use super::*;

#[test]
fn a_fill_resumes_where_it_left_off() {
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
    cache.partial(&digest, 4_500, PART).unwrap().finish_parts(&[0]).unwrap();
    assert_eq!(cache.partial(&digest, 3_000, PART).unwrap().parts(), [false; 3]);
    assert_eq!(cache.stats().partial_bytes, 3_000);
    assert_eq!(cache.partial(&digest, 3_000, 1_500).unwrap().parts(), [false; 2]);
    assert_consistent(&cache);
}

#[test]
fn a_fill_in_parts_of_another_size_goes_on() {
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
    assert_eq!(read(&partial.admit(prove(&bytes)).unwrap()), bytes);
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
    let error = partial.finish_parts(&[5]).unwrap_err();
    assert!(error.to_string().ends_with("there is no part 5"), "{error}");
    assert!(partial.read_at(4_999, &mut [0; 2]).is_err());
    assert_eq!(cache.probe(), Ok(()), "a caller's mistake is no trouble of the disk");
}
