//! A look from outside.

use super::*;

#[test]
fn sees_what_is_there_and_who_has_it() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("cache");
    let nothing = Survey::of(&dir);
    assert!(nothing.blobs.is_empty() && nothing.partials.is_empty() && nothing.holder.is_none());
    assert!(nothing.free < u64::MAX, "of the file system that it would be on");
    assert!(!dir.exists(), "nothing is made");

    let cache = open(&dir, 1 << 20);
    let (here, begun) = (blob(1, 2_000), Digest::of(b"begun"));
    fill(&cache, &here).unwrap();
    let partial = cache.partial(&begun, 3_000, PART).unwrap();
    let survey = Survey::of(&dir);
    assert_eq!(survey.blobs, [(Digest::of(&here), 2_000)].into());
    assert_eq!(survey.partials, [(begun, 3_000)].into());
    assert_eq!(survey.holder, Some(std::process::id().to_string()));
    drop((partial, cache));
    assert_eq!(Survey::of(&dir).holder, None);
    open(&dir, 1 << 20);
}
