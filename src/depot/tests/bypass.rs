//! Assets that the cache has no room for.

use super::*;

#[tokio::test]
async fn an_asset_larger_than_the_cache_streams_through_proven() {
    let mut house = House::with(&[&[]], |h| h.max_size = 1 << 20).await;
    for size in [None, Some(SIZE as u64)] {
        house.asset.size = size;
        house.reopen().await;
        let (got, end) = house.get_all().await;
        assert_eq!(end.unwrap(), CacheState::Bypass);
        assert!(got == house.data);
        let range = ByteRange::new(2_345_678, 2_345_999);
        let (got, end) = house.get(range).await;
        end.unwrap();
        assert!(got == house.part(range));
    }
}

#[tokio::test]
async fn around_the_cache_wrong_bytes_are_not_completed_either() {
    let house = House::with(&[&[Fault::Flip { at: 2_999_999 }]], |h| h.max_size = 1 << 20).await;
    let (got, end) = house.get_all().await;
    assert!(got.len() as u64 <= SIZE as u64 - board::TAIL);
    assert_eq!(end.unwrap_err().outcome(), Outcome::DigestMismatch);
    let house = House::with(&[&[Fault::Flip { at: 10 }], &[]], |h| h.max_size = 1 << 20).await;
    let range = ByteRange::new(2_999_000, 3_000_000);
    let (got, end) = house.get(range).await;
    end.unwrap();
    assert!(got == house.part(range), "nothing had gone out, so the next source took over");
}
