//! Assets that the cache has no space for.

use super::*;

#[tokio::test]
async fn oversized_asset_bypasses_cache() {
    let mut test = TestDepot::with(&[&[]], |h| h.max_size = 1 << 20).await;
    for size in [None, Some(SIZE as u64)] {
        test.asset.size = size;
        test.reopen().await;
        let (got, end) = test.get_all().await;
        assert_eq!(end.unwrap(), CacheState::Bypass);
        assert!(got == test.data);
        let range = ByteRange::new(2_345_678, 2_345_999);
        let (got, end) = test.get(range).await;
        end.unwrap();
        assert!(got == test.part(range));
    }
}

#[tokio::test]
async fn bypass_never_completes_wrong_bytes() {
    let test = TestDepot::with(&[&[Fault::Flip { at: 2_999_999 }]], |h| h.max_size = 1 << 20).await;
    let (got, end) = test.get_all().await;
    assert!(got.len() as u64 <= SIZE as u64 - progress::HELD_TAIL);
    assert_eq!(end.unwrap_err().outcome(), Outcome::DigestMismatch);
    let test = TestDepot::with(&[&[Fault::Flip { at: 10 }], &[]], |h| h.max_size = 1 << 20).await;
    let range = ByteRange::new(2_999_000, 3_000_000);
    let (got, end) = test.get(range).await;
    end.unwrap();
    assert!(got == test.part(range), "nothing was sent, so the next source is used");
}
