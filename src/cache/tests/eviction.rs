//! Evictions: what is removed first, and what is kept.

use super::*;

#[test]
fn eviction_is_least_recently_used_first() {
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
    assert!(matches!(cache.evict(&Digest::of(b"")), Err(EvictError::Missing(_))));

    fill(&cache, &blob(5, 2_000)).unwrap();
    let cached = |cache: &Cache| digests.iter().map(|digest| cache.size_of(digest).is_some()).collect::<Vec<_>>();
    assert_eq!(cached(&cache), [true, true, true, true, false]);
    fill(&cache, &blob(6, 4_000)).unwrap();
    assert_eq!(cached(&cache), [true, true, true, false, false]);
    let error = cache.partial(&Digest::of(b""), 5_000, PART).unwrap_err();
    assert_eq!(
        error.to_string(),
        "no space for 5000 bytes: max_size is 10000, and 6000 bytes are pinned, being read or being filled"
    );
    assert_eq!(cache.stats().partial_entries, 0);
    assert_eq!(read(&reader), blobs[0]);
    assert_eq!(through_socket(&window), blobs[1][..100]);
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
fn order_of_uses_survives_restart() {
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
fn idle_partial_is_evicted_before_blob() {
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
fn quarantine_is_bounded_and_evicted_first() {
    let temp = tempfile::tempdir().unwrap();
    let cache = open(temp.path(), 20_000);
    let blobs: Vec<_> = (0..18).map(|seed| blob(seed, 1_000)).collect();
    for bytes in &blobs {
        fill(&cache, bytes).unwrap();
        assert!(cache.quarantine(&Digest::of(bytes)));
    }
    assert!(!cache.quarantine(&Digest::of(b"")));
    assert_eq!(cache.stats().quarantined_entries, 16);
    let kept: HashSet<_> =
        blobs.iter().map(|it| Digest::of(it)).filter(|it| cache.store.dir.quarantined(it).exists()).collect();
    assert_eq!(kept, blobs[2..].iter().map(|it| Digest::of(it)).collect());
    let kept = blob(20, 4_000);
    fill(&cache, &kept).unwrap();
    fill(&cache, &blob(21, 15_000)).unwrap();
    assert!(cache.size_of(&Digest::of(&kept)).is_some());
    assert_consistent(&cache);
}
