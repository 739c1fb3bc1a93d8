//! Assets that are brought into the cache for no client.

use super::blocks::with_block_list;
use super::*;
use crate::depot::{FetchError, RetentionReason};

#[tokio::test]
async fn what_is_fetched_is_proven_in_the_cache() {
    let test = TestDepot::new(&[&[]]).await;
    let asset = test.found();
    assert_eq!(test.depot.progress(&asset), AssetProgress::default());
    assert!(!test.depot.is_cached(&asset.digest));
    test.depot.fetch(&asset).await.unwrap();
    assert!(test.depot.is_cached(&asset.digest));
    let all = AssetProgress { cached: true, bytes: SIZE as u64, size: Some(SIZE as u64) };
    assert_eq!(test.depot.progress(&asset), all);
    let requests = test.origins[0].requests();
    test.depot.fetch(&asset).await.unwrap();
    assert_eq!(test.origins[0].requests(), requests, "what is here is not asked for again");
    let (got, end) = test.get_all().await;
    assert!(got == test.data);
    assert_eq!(end.unwrap(), CacheState::Hit);
}

#[tokio::test]
async fn with_a_block_list_each_block_is_proven_on_the_way() {
    let test = TestDepot::with(&[&[Fault::FlipOnce { at: 1_234_567 }]], with_block_list).await;
    test.depot.fetch(&test.found()).await.unwrap();
    assert!(test.blob_is_here());
    let sent = test.origins[0].sent("disk.img");
    assert!(sent > SIZE as u64 && sent < 2 * SIZE as u64, "the bad block alone was asked for again: {sent}");
}

#[tokio::test]
async fn readers_and_fetches_share_one_fill() {
    let test = TestDepot::new(&[&[Fault::HoldFrom { at: 1_000_000 }]]).await;
    let asset = test.found();
    let eight = futures_util::future::join_all((0..8).map(|_| test.depot.fetch(&asset)));
    let (fetched, (got, end), ()) = tokio::join!(eight, test.get_all(), async {
        while test.depot.progress(&asset).bytes == 0 {
            tokio::task::yield_now().await;
        }
        let progress = test.depot.progress(&asset);
        assert!(!progress.cached && progress.bytes < SIZE as u64 && progress.size == Some(SIZE as u64), "{progress:?}");
        test.origins[0].heal();
    });
    assert!(fetched.iter().all(Result::is_ok));
    end.unwrap();
    assert!(got == test.data);
    assert_eq!(test.origins[0].sent("disk.img"), SIZE as u64, "every byte crossed once");
}

#[tokio::test]
async fn the_fill_goes_on_when_nobody_waits_for_it_any_more() {
    let test = TestDepot::new(&[&[Fault::HoldFrom { at: 0 }]]).await;
    let (depot, asset) = (test.depot.clone(), test.found());
    let fetching = tokio::spawn(async move { depot.fetch(&asset).await.is_ok() });
    while test.origins[0].requests() == 0 {
        tokio::task::yield_now().await;
    }
    fetching.abort();
    assert!(fetching.await.unwrap_err().is_cancelled());
    test.origins[0].heal();
    test.settle().await;
    assert!(test.blob_is_here());
}

#[tokio::test]
async fn failures_are_told_by_what_they_mean() {
    let test = TestDepot::new(&[&[Fault::Status(404)]]).await;
    let error = test.depot.fetch(&test.found()).await.unwrap_err();
    assert!(matches!(error, FetchError::Read(ReadError::NotFound(_))), "{error}");
    let test = TestDepot::new(&[&[Fault::Flip { at: 7 }]]).await;
    let error = test.depot.fetch(&test.found()).await.unwrap_err();
    assert!(matches!(error, FetchError::Read(ReadError::WrongBytes(_))), "{error}");
    assert!(!test.blob_is_here());
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
async fn an_asset_is_held_until_all_who_hold_it_let_go() {
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
    assert!(cache.is_pinned(&asset.digest) && cache.is_pinned(&list), "the settings still pin it");
    let test = TestDepot::with(&[&[]], with_block_list).await;
    let (asset, cache) = (test.found(), &test.depot.shared.cache);
    let (first, second) =
        (test.depot.retain(&asset, RetentionReason::Operator), test.depot.retain(&asset, RetentionReason::Job(1)));
    drop(first);
    assert!(cache.is_pinned(&asset.digest) && cache.is_pinned(&list));
    drop(second);
    assert!(!cache.is_pinned(&asset.digest) && !cache.is_pinned(&list));
}
