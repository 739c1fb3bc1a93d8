//! Assets that are fetched without a client.

use super::blocks::with_block_list;
use super::*;
use crate::depot::{FetchError, RetentionReason};

#[tokio::test]
async fn fetch_caches_asset_once() {
    let test = TestDepot::new(&[&[]]).await;
    let asset = test.found();
    assert_eq!(test.depot.progress(&asset), AssetProgress::default());
    assert!(!test.depot.is_cached(&asset.digest));
    test.depot.fetch(&asset).await.unwrap();
    assert!(test.depot.is_cached(&asset.digest));
    let all = AssetProgress { cached: true, unverified: false, bytes: SIZE as u64, size: Some(SIZE as u64) };
    assert_eq!(test.depot.progress(&asset), all);
    let requests = test.origins[0].requests();
    test.depot.fetch(&asset).await.unwrap();
    assert_eq!(test.origins[0].requests(), requests, "a cached asset is not requested");
    let (got, end) = test.get_all().await;
    assert!(got == test.data);
    assert_eq!(end.unwrap(), CacheState::Hit);
}

#[tokio::test]
async fn fetch_refetches_bad_block_only() {
    let test = TestDepot::with(&[&[Fault::FlipOnce { at: 1_234_567 }]], with_block_list).await;
    test.depot.fetch(&test.found()).await.unwrap();
    assert!(test.is_cached());
    let sent = test.origins[0].sent("disk.img");
    assert!(sent > SIZE as u64 && sent < 2 * SIZE as u64, "only the bad block is fetched again: {sent}");
}

#[tokio::test]
async fn readers_and_fetches_share_fill() {
    let test = TestDepot::new(&[&[Fault::HoldFrom { at: 1_000_000 }]]).await;
    let asset = test.found();
    let eight = futures_util::future::join_all((0..8).map(|_| test.depot.fetch(&asset)));
    let (fetched, (got, end), ()) = tokio::join!(eight, test.get_all(), async {
        wait_until(|| test.depot.progress(&asset).bytes > 0).await;
        let progress = test.depot.progress(&asset);
        assert!(!progress.cached && progress.bytes < SIZE as u64 && progress.size == Some(SIZE as u64), "{progress:?}");
        test.origins[0].heal();
    });
    assert!(fetched.iter().all(Result::is_ok));
    end.unwrap();
    assert!(got == test.data);
    assert_eq!(test.origins[0].sent("disk.img"), SIZE as u64, "every byte is sent once");
}

#[tokio::test]
async fn fill_continues_without_waiters() {
    let test = TestDepot::new(&[&[Fault::HoldFrom { at: 0 }]]).await;
    let (depot, asset) = (test.depot.clone(), test.found());
    let fetching = tokio::spawn(async move { depot.fetch(&asset).await.is_ok() });
    wait_until(|| test.origins[0].requests() > 0).await;
    fetching.abort();
    assert!(fetching.await.unwrap_err().is_cancelled());
    test.origins[0].heal();
    test.wait_for_fills().await;
    assert!(test.is_cached());
}

#[tokio::test]
async fn fetch_errors_have_own_variants() {
    let test = TestDepot::new(&[&[Fault::Status(404)]]).await;
    let error = test.depot.fetch(&test.found()).await.unwrap_err();
    assert!(matches!(error, FetchError::Read(ReadError::NotFound(_))), "{error}");
    let test = TestDepot::new(&[&[Fault::Flip { at: 7 }]]).await;
    let error = test.depot.fetch(&test.found()).await.unwrap_err();
    assert!(matches!(error, FetchError::Read(ReadError::WrongBytes(_))), "{error}");
    assert!(!test.is_cached());
    let test = TestDepot::with(&[&[]], |test| test.max_size = 1_000_000).await;
    let error = test.depot.fetch(&test.found()).await.unwrap_err();
    assert!(matches!(error, FetchError::NotStored(_)), "{error}");
    assert!(error.to_string().starts_with("the cache cannot store it: "), "{error}");
    let test = TestDepot::new(&[&[]]).await;
    test.depot.close().await;
    let error = test.depot.fetch(&test.found()).await.unwrap_err();
    assert!(matches!(error, FetchError::Read(ReadError::Closing)), "{error}");
}

#[tokio::test]
async fn asset_is_retained_until_last_drop() {
    let test = TestDepot::with(&[&[]], |test| {
        with_block_list(test);
        test.asset.pin = true;
    })
    .await;
    let asset = test.found();
    let list = asset.blocks.as_ref().unwrap().digest;
    let cache = &test.depot.shared.cache;
    let (first, second) =
        (test.depot.retain(&asset, RetentionReason::Operator), test.depot.retain(&asset, RetentionReason::Job(1)));
    drop(first);
    drop(second);
    assert!(cache.is_pinned(&asset.digest) && cache.is_pinned(&list), "the configuration still pins it");
    let test = TestDepot::with(&[&[]], with_block_list).await;
    let (asset, cache) = (test.found(), &test.depot.shared.cache);
    let (first, second) =
        (test.depot.retain(&asset, RetentionReason::Operator), test.depot.retain(&asset, RetentionReason::Job(1)));
    drop(first);
    assert!(cache.is_pinned(&asset.digest) && cache.is_pinned(&list));
    drop(second);
    assert!(!cache.is_pinned(&asset.digest) && !cache.is_pinned(&list));
}
