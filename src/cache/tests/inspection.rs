//! Inspections of a cache from outside.

use super::*;

#[test]
fn inspection_shows_contents_and_holder() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("cache");
    let empty = inspect(&dir);
    assert!(
        empty.blobs.is_empty() && empty.unverified.is_empty() && empty.partials.is_empty() && empty.holder.is_none()
    );
    assert!(empty.free < u64::MAX, "that of the file system on which it would be");
    assert!(!dir.exists(), "nothing is created");

    let cache = open(&dir, 1 << 20);
    let (cached, begun) = (blob(1, 2_000), Digest::of(b"begun"));
    fill(&cache, &cached).unwrap();
    let partial = cache.partial(&begun, 3_000, PART).unwrap();
    let unrecorded = inspect(&dir);
    assert_eq!((unrecorded.blobs.len(), unrecorded.unverified), (0, [(Digest::of(&cached), 2_000)].into()));
    cache.save_records();
    let inspection = inspect(&dir);
    assert!(inspection.unverified.is_empty());
    assert_eq!(inspection.blobs, [(Digest::of(&cached), 2_000)].into());
    assert_eq!(inspection.partials, [(begun, 3_000)].into());
    assert_eq!(inspection.holder, Some(std::process::id().to_string()));
    drop((partial, cache));
    assert_eq!(inspect(&dir).holder, None);
    open(&dir, 1 << 20);
}
