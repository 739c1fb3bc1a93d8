//! Fills that can be cancelled.

use super::*;
use crate::depot::{FetchError, FillOutcome};

/// A depot whose origin holds back most of the image, and an active cancellable fetch of it.
async fn start_fetch() -> (TestDepot, tokio::task::JoinHandle<Result<(), FetchError>>) {
    let test = TestDepot::new(&[&[Fault::HoldFrom { at: 1_000_000 }]]).await;
    let fetching = spawn_fetch(&test);
    wait_until(|| test.depot.fills().iter().any(|fill| fill.bytes >= 500_000)).await;
    (test, fetching)
}

fn spawn_fetch(test: &TestDepot) -> tokio::task::JoinHandle<Result<(), FetchError>> {
    let (depot, asset) = (test.depot.clone(), test.found());
    tokio::spawn(async move { depot.fetch_cancellable(&asset).await })
}

#[tokio::test]
async fn unneeded_fill_is_cancelled_and_resumable() {
    let (test, fetching) = start_fetch().await;
    fetching.abort();
    assert!(fetching.await.unwrap_err().is_cancelled());
    test.wait_for_fills().await;
    let past = test.depot.past_fills();
    assert_eq!(past[0].outcome, FillOutcome::Cancelled);
    assert_eq!(past[0].detail.as_deref(), Some("no client, release or job needs it any more"));
    test.origins[0].heal();
    test.depot.fetch(&test.found()).await.unwrap();
    assert!(test.is_cached());
    assert!(test.origins[0].sent("disk.img") < 2 * SIZE as u64, "the next fill reuses what was written");
}

#[tokio::test]
async fn client_interest_survives_job_cancel() {
    let (test, fetching) = start_fetch().await;
    let (got, ()) = tokio::join!(test.get_all(), async {
        wait_until(|| test.depot.active_fills().values().any(|fill| !fill.interest().clone().withdraw())).await;
        fetching.abort();
        assert!(fetching.await.unwrap_err().is_cancelled());
        test.origins[0].heal();
    });
    assert!(got.0 == test.data);
    got.1.unwrap();
    assert_eq!(test.depot.past_fills()[0].outcome, FillOutcome::Complete);
    assert_eq!(test.origins[0].sent("disk.img"), SIZE as u64, "every byte is sent once");
}

#[tokio::test]
async fn second_job_keeps_fill_running() {
    let (test, first) = start_fetch().await;
    let second = spawn_fetch(&test);
    tokio::task::yield_now().await;
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    test.origins[0].heal();
    second.await.unwrap().unwrap();
    assert_eq!(test.depot.past_fills()[0].outcome, FillOutcome::Complete);
}

#[tokio::test]
async fn permanent_fetch_survives_dropped_future() {
    let (test, job) = start_fetch().await;
    let (depot, asset) = (test.depot.clone(), test.found());
    let keeper = tokio::spawn(async move { depot.fetch(&asset).await });
    tokio::task::yield_now().await;
    for gone in [keeper, job] {
        gone.abort();
        assert!(gone.await.unwrap_err().is_cancelled());
    }
    test.origins[0].heal();
    test.wait_for_fills().await;
    assert!(test.is_cached());
}

/// A client that joins while the old fill is being cancelled gets a fill of its own, not the cancellation.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn client_joining_during_cancel_is_served() {
    let test = TestDepot::new(&[&[]]).await;
    for round in 0..60 {
        let fetching = spawn_fetch(&test);
        if round % 3 > 0 {
            wait_until(|| !test.depot.fills().is_empty() || test.is_cached()).await;
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
        test.wait_for_fills().await;
        let mut attempts = 0;
        while let Err(error) = test.depot.evict(&test.found()).await {
            attempts += 1;
            assert!(attempts < 60_000, "round {round}: {error}");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}
