//! Sources that fail, send wrong bytes, change or ignore ranges.

use super::*;

#[tokio::test]
async fn wrong_bytes_never_complete_and_are_cached() {
    let test = TestDepot::new(&[&[Fault::Flip { at: 2_900_000 }]]).await;
    let (got, end) = test.get_all().await;
    assert!(got.len() < SIZE, "the tail is never sent");
    let error = end.unwrap_err();
    assert_eq!(error.outcome(), Outcome::DigestMismatch);
    assert!(error.to_string().contains(&test.asset.digest.to_string()), "{error}");
    test.wait_for_fills().await;
    assert!(!test.is_cached());
    let requests = test.origins[0].requests();
    let (got, end) = test.get_all().await;
    assert!(got.is_empty() && end.unwrap_err().outcome() == Outcome::DigestMismatch);
    assert_eq!(test.origins[0].requests(), requests, "the failure is cached");
}

#[tokio::test]
async fn missing_source_is_not_asked_again() {
    let test = TestDepot::with(&[&[Fault::Status(404)], &[Fault::Status(403)]], |h| h.settings.retries = 0).await;
    let error = test.get_all().await.1.unwrap_err();
    assert!(matches!(error, ReadError::Unavailable { .. }), "one source may have it: {error}");
    test.wait_for_fills().await;
    let missing = test.origins[0].requests();
    test.origins[1].heal();
    let (got, end) = test.get_all().await;
    end.unwrap();
    assert!(got == test.data, "the other source is asked at once");
    assert_eq!(test.origins[0].requests(), missing, "a missing object is remembered");
}

#[tokio::test]
async fn missing_everywhere_is_remembered_until_forgotten() {
    let test = TestDepot::new(&[&[Fault::Status(404)], &[Fault::Flip { at: 10 }]]).await;
    let error = test.get_all().await.1.unwrap_err();
    assert_eq!(error.outcome(), Outcome::DigestMismatch, "{error}");
    test.wait_for_fills().await;
    let requests = || [test.origins[0].requests(), test.origins[1].requests()];
    let before = requests();
    test.origins.iter().for_each(FakeOrigin::heal);
    assert_eq!(test.depot.size(&test.found()).await.unwrap_err().outcome(), Outcome::DigestMismatch);
    assert_eq!(test.get_all().await.1.unwrap_err().outcome(), Outcome::DigestMismatch);
    assert_eq!(requests(), before);
    test.depot.forget_failure(&test.asset.digest);
    let (got, end) = test.get_all().await;
    end.unwrap();
    assert!(got == test.data);
}

#[tokio::test]
async fn next_source_replaces_wrong_bytes() {
    let test = TestDepot::new(&[&[Fault::Flip { at: 10 }], &[]]).await;
    // A reader that has sent wrong bytes fails; one that has not, or comes later, gets the right ones.
    match test.get_all().await {
        (got, Ok(_)) => assert!(got == test.data),
        (_, Err(error)) => assert_eq!(error.outcome(), Outcome::DigestMismatch),
    }
    let (got, end) = test.get_all().await;
    end.unwrap();
    assert!(got == test.data);
}

#[tokio::test]
async fn release_whole_hides_wrong_source() {
    let test = TestDepot::with(&[&[Fault::Flip { at: 10 }], &[]], |h| h.settings.release = Release::Whole).await;
    let (got, end) = test.get_all().await;
    end.unwrap();
    assert!(got == test.data);
}

#[tokio::test]
async fn wrong_length_tries_next_source() {
    let test = TestDepot::with(&[&[], &[]], |h| h.origins[0].put("disk.img", b"<html>sorry</html>".to_vec())).await;
    // A reader of the wrong length fails; one that comes later gets the right bytes.
    match test.get_all().await {
        (got, Ok(_)) => assert!(got == test.data),
        (_, Err(error)) => {
            assert!(matches!(error, ReadError::Unavailable { .. } | ReadError::WrongBytes(_)), "{error}");
        }
    }
    test.wait_for_fills().await;
    let (got, end) = test.get_all().await;
    end.unwrap();
    assert!(got == test.data);
}

#[tokio::test]
async fn wrong_length_is_wrong_bytes() {
    let test = TestDepot::with(&[&[]], |h| h.asset.size = Some(5)).await;
    let error = test.get_all().await.1.unwrap_err();
    assert_eq!(error.outcome(), Outcome::DigestMismatch);
    assert!(error.to_string().contains("it has 3000000 bytes, expected 5"), "{error}");
}

#[tokio::test]
async fn replaced_object_is_not_truncated() {
    let test = TestDepot::with(&[&[]], |h| h.origins[0].put("disk.img", b"short".to_vec())).await;
    assert_eq!(test.depot.size(&test.found()).await.unwrap(), 5, "the upload is not complete");
    test.origins[0].put("disk.img", test.data.clone());
    let error = test.get_all().await.1.unwrap_err();
    assert!(error.to_string().contains("it has 3000000 bytes, 5 were announced"), "{error}");
    test.wait_for_fills().await;
    let (got, end) = test.get_all().await;
    end.unwrap();
    assert!(got == test.data);
}

#[tokio::test]
async fn ignored_ranges_use_one_request() {
    let test = TestDepot::new(&[&[Fault::IgnoreRange]]).await;
    let (got, end) = test.get(ByteRange::new(2_000_000, 2_500_000)).await;
    end.unwrap();
    assert!(got == test.part(ByteRange::new(2_000_000, 2_500_000)));
    test.wait_for_fills().await;
    assert_eq!(test.origins[0].requests(), 1);
}

#[tokio::test]
async fn single_ignored_range_is_tolerated() {
    let test = TestDepot::new(&[&[Fault::IgnoreRangeOnce { after: 3 }]]).await;
    let (got, end) = test.get_all().await;
    end.unwrap();
    assert!(got == test.data);
}

/// If a source that ignores ranges overwrote hashed bytes, the cache would keep a blob that does not match its digest. The
/// pause lets the hash reach the end of what is written; correct code does not depend on it.
#[tokio::test]
async fn stream_never_overwrites_hashed_bytes() {
    let stream = [Fault::IgnoreRange, Fault::Flip { at: 10 }, Fault::HoldFrom { at: 0 }];
    let test = TestDepot::with(&[&[Fault::HoldFrom { at: 700_000 }], &stream], |h| h.settings.connections = 1).await;
    let depot = test.depot.clone();
    let reading = tokio::spawn(async move { get(&depot, ByteRange::whole(u64::MAX)).await });
    wait_until(|| test.depot.active_fills().values().any(|fill| fill.progress().written() >= 600_000)).await;
    test.origins[0].set_faults(&[Fault::Status(403)]);
    wait_until(|| test.origins[1].requests() > 0).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    test.origins[1].heal();
    let (got, end) = reading.await.unwrap();
    end.unwrap();
    assert!(got == test.data);
    test.wait_for_fills().await;
    assert!(test.is_cached(), "the second source provides the rest");
    let (got, end) = test.get_all().await;
    end.unwrap();
    assert!(got == test.data, "the cached blob matches its digest");
}

#[tokio::test]
async fn closed_and_stalled_connections_resume() {
    let faults = [Fault::CutAfter { bytes: 100_000, times: 5 }, Fault::StallAfter { bytes: 50_000, times: 2 }];
    let test = TestDepot::with(&[&faults], |h| h.stall = Duration::from_millis(300)).await;
    let (got, end) = test.get_all().await;
    end.unwrap();
    assert!(got == test.data);
}

#[tokio::test]
async fn missing_object_costs_one_request() {
    let test = TestDepot::new(&[&[Fault::Status(404)]]).await;
    for _ in 0..3 {
        assert_eq!(test.get_all().await.1.unwrap_err().outcome(), Outcome::NotFound);
        assert_eq!(test.depot.size(&test.found()).await.unwrap_err().outcome(), Outcome::NotFound);
    }
    assert_eq!(test.origins[0].requests(), 1);
}

#[tokio::test]
async fn failing_source_tries_next() {
    let test = TestDepot::new(&[&[Fault::Status(500)], &[]]).await;
    let (got, end) = test.get_all().await;
    end.unwrap();
    assert!(got == test.data);
    assert_eq!(test.origins[0].requests(), 3, "one request and two retries");
}

#[tokio::test]
async fn unreachable_sources_are_unavailable_and_uncached() {
    let test = TestDepot::new(&[&[Fault::Status(403)], &[Fault::Status(500)]]).await;
    let error = test.get_all().await.1.unwrap_err();
    assert!(matches!(error, ReadError::Unavailable { .. }), "{error}");
    assert!(!error.public().contains("127.0.0.1"));
    test.origins[1].heal();
    test.get_all().await.1.expect("an outage is not cached");
}
