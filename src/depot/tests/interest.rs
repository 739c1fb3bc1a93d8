//! Fills that are wanted by those who may change their mind.

use super::*;
use crate::depot::{FetchError, FillOutcome};

/// A house whose origin holds back most of the image, and a job's fetch of it that is under way.
async fn begun() -> (House, tokio::task::JoinHandle<Result<(), FetchError>>) {
    let house = House::new(&[&[Fault::HoldFrom { at: 1_000_000 }]]).await;
    let fetching = wanting(&house);
    while !house.depot.fills().iter().any(|fill| fill.bytes >= 500_000) {
        tokio::task::yield_now().await;
    }
    (house, fetching)
}

fn wanting(house: &House) -> tokio::task::JoinHandle<Result<(), FetchError>> {
    let (depot, asset) = (house.depot.clone(), house.found());
    tokio::spawn(async move { depot.fetch_while_wanted(&asset).await })
}

#[tokio::test]
async fn a_fill_that_nobody_wants_any_more_is_ended_and_keeps_what_it_has() {
    let (house, fetching) = begun().await;
    fetching.abort();
    assert!(fetching.await.unwrap_err().is_cancelled());
    house.settle().await;
    let past = house.depot.past_fills();
    assert_eq!(past[0].outcome, FillOutcome::Cancelled);
    assert_eq!(past[0].detail.as_deref(), Some("nobody wants it any more"));
    house.shelves[0].heal();
    house.depot.fetch(&house.found()).await.unwrap();
    assert!(house.blob_is_here());
    assert!(house.shelves[0].sent("disk.img") < 2 * SIZE as u64, "the next one took over what was here");
}

#[tokio::test]
async fn a_fill_that_a_client_wants_goes_on() {
    let (house, fetching) = begun().await;
    let (got, ()) = tokio::join!(house.get_all(), async {
        while house.depot.shared.fills.lock().unwrap().values().all(|fill| fill.wishes().clone().revoke()) {
            tokio::task::yield_now().await;
        }
        fetching.abort();
        assert!(fetching.await.unwrap_err().is_cancelled());
        house.shelves[0].heal();
    });
    assert!(got.0 == house.data);
    got.1.unwrap();
    assert_eq!(house.depot.past_fills()[0].outcome, FillOutcome::Complete);
    assert_eq!(house.shelves[0].sent("disk.img"), SIZE as u64, "every byte crossed once");
}

#[tokio::test]
async fn of_two_jobs_one_may_give_up() {
    let (house, first) = begun().await;
    let second = wanting(&house);
    tokio::task::yield_now().await;
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    house.shelves[0].heal();
    second.await.unwrap().unwrap();
    assert_eq!(house.depot.past_fills()[0].outcome, FillOutcome::Complete);
}

#[tokio::test]
async fn a_fill_that_a_release_needs_goes_on_when_its_keeper_looks_away() {
    let (house, job) = begun().await;
    let (depot, asset) = (house.depot.clone(), house.found());
    let keeper = tokio::spawn(async move { depot.fetch(&asset).await });
    tokio::task::yield_now().await;
    for gone in [keeper, job] {
        gone.abort();
        assert!(gone.await.unwrap_err().is_cancelled());
    }
    house.shelves[0].heal();
    house.settle().await;
    assert!(house.blob_is_here());
}

/// Whoever comes while the old fill is on its way out has a fill of its own, and no error of somebody else's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_comes_as_the_last_wish_ends_is_served_all_the_same() {
    let house = House::new(&[&[]]).await;
    for round in 0..60 {
        let fetching = wanting(&house);
        if round % 3 > 0 {
            while house.depot.fills().is_empty() && !house.blob_is_here() {
                tokio::task::yield_now().await;
            }
        }
        let reading = house.depot.clone();
        let reading = tokio::spawn(async move { get(&reading, ByteRange::whole(u64::MAX)).await });
        if round % 2 == 0 {
            tokio::task::yield_now().await;
        }
        fetching.abort();
        let (got, end) = reading.await.unwrap();
        end.unwrap();
        assert!(got == house.data, "round {round}");
        let _ = fetching.await;
        house.settle().await;
        while house.depot.evict(&house.found()).await.is_err() {
            tokio::task::yield_now().await;
        }
    }
}
