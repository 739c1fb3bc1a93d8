//! Fills that are wanted by those who may change their mind.

use super::*;
use crate::depot::{FetchError, FillOutcome};

/// A test whose origin holds back most of the image, and a job's fetch of it that is under way.
async fn begun() -> (TestDepot, tokio::task::JoinHandle<Result<(), FetchError>>) {
    let test = TestDepot::new(&[&[Fault::HoldFrom { at: 1_000_000 }]]).await;
    let fetching = wanting(&test);
    while !test.depot.fills().iter().any(|fill| fill.bytes >= 500_000) {
        tokio::task::yield_now().await;
    }
    (test, fetching)
}

fn wanting(test: &TestDepot) -> tokio::task::JoinHandle<Result<(), FetchError>> {
    let (depot, asset) = (test.depot.clone(), test.found());
    tokio::spawn(async move { depot.fetch_cancellable(&asset).await })
}

#[tokio::test]
async fn a_fill_that_nobody_wants_any_more_is_ended_and_keeps_what_it_has() {
    let (test, fetching) = begun().await;
    fetching.abort();
    assert!(fetching.await.unwrap_err().is_cancelled());
    test.settle().await;
    let past = test.depot.past_fills();
    assert_eq!(past[0].outcome, FillOutcome::Cancelled);
    assert_eq!(past[0].detail.as_deref(), Some("nobody wants it any more"));
    test.origins[0].heal();
    test.depot.fetch(&test.found()).await.unwrap();
    assert!(test.blob_is_here());
    assert!(test.origins[0].sent("disk.img") < 2 * SIZE as u64, "the next one took over what was here");
}

#[tokio::test]
async fn a_fill_that_a_client_wants_goes_on() {
    let (test, fetching) = begun().await;
    let (got, ()) = tokio::join!(test.get_all(), async {
        while test.depot.active_fills().values().all(|fill| fill.interest().clone().withdraw()) {
            tokio::task::yield_now().await;
        }
        fetching.abort();
        assert!(fetching.await.unwrap_err().is_cancelled());
        test.origins[0].heal();
    });
    assert!(got.0 == test.data);
    got.1.unwrap();
    assert_eq!(test.depot.past_fills()[0].outcome, FillOutcome::Complete);
    assert_eq!(test.origins[0].sent("disk.img"), SIZE as u64, "every byte crossed once");
}

#[tokio::test]
async fn of_two_jobs_one_may_give_up() {
    let (test, first) = begun().await;
    let second = wanting(&test);
    tokio::task::yield_now().await;
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    test.origins[0].heal();
    second.await.unwrap().unwrap();
    assert_eq!(test.depot.past_fills()[0].outcome, FillOutcome::Complete);
}

#[tokio::test]
async fn a_fill_that_a_release_needs_goes_on_when_its_keeper_looks_away() {
    let (test, job) = begun().await;
    let (depot, asset) = (test.depot.clone(), test.found());
    let keeper = tokio::spawn(async move { depot.fetch(&asset).await });
    tokio::task::yield_now().await;
    for gone in [keeper, job] {
        gone.abort();
        assert!(gone.await.unwrap_err().is_cancelled());
    }
    test.origins[0].heal();
    test.settle().await;
    assert!(test.blob_is_here());
}

/// Whoever comes while the old fill is on its way out has a fill of its own, and no error of somebody else's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_comes_as_the_last_wish_ends_is_served_all_the_same() {
    let test = TestDepot::new(&[&[]]).await;
    for round in 0..60 {
        let fetching = wanting(&test);
        if round % 3 > 0 {
            while test.depot.fills().is_empty() && !test.blob_is_here() {
                tokio::task::yield_now().await;
            }
        }
        let reading = test.depot.clone();
        let reading = tokio::spawn(async move { get(&reading, ByteRange::whole(u64::MAX)).await });
        if round % 2 == 0 {
            tokio::task::yield_now().await;
        }
        fetching.abort();
        let (got, end) = reading.await.unwrap();
        end.unwrap();
        assert!(got == test.data, "round {round}");
        let _ = fetching.await;
        test.settle().await;
        while test.depot.evict(&test.found()).await.is_err() {
            tokio::task::yield_now().await;
        }
    }
}
