//! Assets that are brought into the cache for no client.

use super::blocks::with_block_list;
use super::*;
use crate::depot::{FetchError, Holder};

#[tokio::test]
async fn what_is_fetched_is_proven_in_the_cache() {
    let house = House::new(&[&[]]).await;
    let asset = house.found();
    assert_eq!(house.depot.progress(&asset), Progress::default());
    assert!(!house.depot.is_proven(&asset.digest));
    house.depot.fetch(&asset).await.unwrap();
    assert!(house.depot.is_proven(&asset.digest));
    let all = Progress { proven: true, bytes: SIZE as u64, size: Some(SIZE as u64) };
    assert_eq!(house.depot.progress(&asset), all);
    let requests = house.shelves[0].requests();
    house.depot.fetch(&asset).await.unwrap();
    assert_eq!(house.shelves[0].requests(), requests, "what is here is not asked for again");
    let (got, end) = house.get_all().await;
    assert!(got == house.data);
    assert_eq!(end.unwrap(), CacheState::Hit);
}

#[tokio::test]
async fn with_a_block_list_each_block_is_proven_on_the_way() {
    let house = House::with(&[&[Fault::FlipOnce { at: 1_234_567 }]], with_block_list).await;
    house.depot.fetch(&house.found()).await.unwrap();
    assert!(house.blob_is_here());
    let sent = house.shelves[0].sent("disk.img");
    assert!(sent > SIZE as u64 && sent < 2 * SIZE as u64, "the bad block alone was asked for again: {sent}");
}

#[tokio::test]
async fn readers_and_fetches_share_one_fill() {
    let house = House::new(&[&[Fault::HoldFrom { at: 1_000_000 }]]).await;
    let asset = house.found();
    let eight = futures_util::future::join_all((0..8).map(|_| house.depot.fetch(&asset)));
    let (fetched, (got, end), ()) = tokio::join!(eight, house.get_all(), async {
        while house.depot.progress(&asset).bytes == 0 {
            tokio::task::yield_now().await;
        }
        let progress = house.depot.progress(&asset);
        assert!(!progress.proven && progress.bytes < SIZE as u64 && progress.size == Some(SIZE as u64), "{progress:?}");
        house.shelves[0].heal();
    });
    assert!(fetched.iter().all(Result::is_ok));
    end.unwrap();
    assert!(got == house.data);
    assert_eq!(house.shelves[0].sent("disk.img"), SIZE as u64, "every byte crossed once");
}

#[tokio::test]
async fn the_fill_goes_on_when_nobody_waits_for_it_any_more() {
    let house = House::new(&[&[Fault::HoldFrom { at: 0 }]]).await;
    let (depot, asset) = (house.depot.clone(), house.found());
    let fetching = tokio::spawn(async move { depot.fetch(&asset).await.is_ok() });
    while house.shelves[0].requests() == 0 {
        tokio::task::yield_now().await;
    }
    fetching.abort();
    assert!(fetching.await.unwrap_err().is_cancelled());
    house.shelves[0].heal();
    house.settle().await;
    assert!(house.blob_is_here());
}

#[tokio::test]
async fn failures_are_told_by_what_they_mean() {
    let house = House::new(&[&[Fault::Status(404)]]).await;
    let error = house.depot.fetch(&house.found()).await.unwrap_err();
    assert!(matches!(error, FetchError::Read(ReadError::NotFound(_))), "{error}");
    let house = House::new(&[&[Fault::Flip { at: 7 }]]).await;
    let error = house.depot.fetch(&house.found()).await.unwrap_err();
    assert!(matches!(error, FetchError::Read(ReadError::WrongBytes(_))), "{error}");
    assert!(!house.blob_is_here());
    let house = House::with(&[&[]], |house| house.max_size = 1_000_000).await;
    let error = house.depot.fetch(&house.found()).await.unwrap_err();
    assert!(matches!(error, FetchError::Unstored(_)), "{error}");
    assert!(error.to_string().starts_with("the cache cannot take it: "), "{error}");
    let house = House::new(&[&[]]).await;
    house.depot.close().await;
    let error = house.depot.fetch(&house.found()).await.unwrap_err();
    assert!(matches!(error, FetchError::Read(ReadError::Closing)), "{error}");
}

#[tokio::test]
async fn an_asset_is_held_until_all_who_hold_it_let_go() {
    let house = House::with(&[&[]], |house| {
        with_block_list(house);
        house.asset.pin = true;
    })
    .await;
    let asset = house.found();
    let list = asset.blocks.as_ref().unwrap().digest;
    let cache = &house.depot.shared.cache;
    let (first, second) = (house.depot.hold(&asset, Holder::Operator), house.depot.hold(&asset, Holder::Job(1)));
    drop(first);
    drop(second);
    assert!(cache.is_pinned(&asset.digest) && cache.is_pinned(&list), "the settings still pin it");
    let house = House::with(&[&[]], with_block_list).await;
    let (asset, cache) = (house.found(), &house.depot.shared.cache);
    let (first, second) = (house.depot.hold(&asset, Holder::Operator), house.depot.hold(&asset, Holder::Job(1)));
    drop(first);
    assert!(cache.is_pinned(&asset.digest) && cache.is_pinned(&list));
    drop(second);
    assert!(!cache.is_pinned(&asset.digest) && !cache.is_pinned(&list));
}
