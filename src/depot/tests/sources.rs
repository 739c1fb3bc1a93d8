//! Sources that fail, lie, change or ignore what they were asked.

use super::*;

#[tokio::test]
async fn wrong_bytes_are_never_completed_and_are_remembered() {
    let test = TestDepot::new(&[&[Fault::Flip { at: 2_900_000 }]]).await;
    let (got, end) = test.get_all().await;
    assert!(got.len() < SIZE, "the tail never went out");
    let error = end.unwrap_err();
    assert_eq!(error.outcome(), Outcome::DigestMismatch);
    assert!(error.to_string().contains(&test.asset.digest.to_string()), "{error}");
    test.settle().await;
    assert!(!test.blob_is_here());
    let requests = test.origins[0].requests();
    let (got, end) = test.get_all().await;
    assert!(got.is_empty() && end.unwrap_err().outcome() == Outcome::DigestMismatch);
    assert_eq!(test.origins[0].requests(), requests, "asked again too soon");
}

#[tokio::test]
async fn the_next_source_makes_up_for_wrong_bytes() {
    let test = TestDepot::new(&[&[Fault::Flip { at: 10 }], &[]]).await;
    let (_, first) = test.get_all().await;
    // A reader that was given bytes of the wrong source is cut off; one that comes later gets the right ones.
    if let Err(error) = first {
        assert_eq!(error.outcome(), Outcome::DigestMismatch);
    }
    let (got, end) = test.get_all().await;
    end.unwrap();
    assert!(got == test.data);
}

#[tokio::test]
async fn with_release_whole_no_reader_sees_a_byte_of_a_wrong_source() {
    let test = TestDepot::with(&[&[Fault::Flip { at: 10 }], &[]], |h| h.settings.release = Release::Whole).await;
    let (got, end) = test.get_all().await;
    end.unwrap();
    assert!(got == test.data);
}

#[tokio::test]
async fn wrong_bytes_of_another_length_leave_the_next_source() {
    let test = TestDepot::with(&[&[], &[]], |h| h.origins[0].put("disk.img", b"<html>sorry</html>".to_vec())).await;
    // A reader that was told the wrong length is cut off; one that comes later gets the right bytes.
    let (got, end) = test.get_all().await;
    assert!(end.is_err() || got == test.data);
    test.settle().await;
    let (got, end) = test.get_all().await;
    end.unwrap();
    assert!(got == test.data);
}

#[tokio::test]
async fn a_wrong_length_is_wrong_bytes() {
    let test = TestDepot::with(&[&[]], |h| h.asset.size = Some(5)).await;
    let error = test.get_all().await.1.unwrap_err();
    assert_eq!(error.outcome(), Outcome::DigestMismatch);
    assert!(error.to_string().contains("it is 3000000 bytes long, 5 were expected"), "{error}");
}

#[tokio::test]
async fn an_asset_is_not_cut_to_the_length_that_another_object_had() {
    let test = TestDepot::with(&[&[]], |h| h.origins[0].put("disk.img", b"short".to_vec())).await;
    assert_eq!(test.depot.size(&test.found()).await.unwrap(), 5, "the upload is not done yet");
    test.origins[0].put("disk.img", test.data.clone());
    let (got, end) = test.get_all().await;
    assert!(end.is_err() || got == test.data, "{} bytes were completed", got.len());
    test.settle().await;
    let (got, end) = test.get_all().await;
    end.unwrap();
    assert!(got == test.data);
}

#[tokio::test]
async fn a_source_that_ignores_ranges_is_read_as_one_stream() {
    let test = TestDepot::new(&[&[Fault::IgnoreRange]]).await;
    let (got, end) = test.get(ByteRange::new(2_000_000, 2_500_000)).await;
    end.unwrap();
    assert!(got == test.part(ByteRange::new(2_000_000, 2_500_000)));
    test.settle().await;
    assert_eq!(test.origins[0].requests(), 1);
}

#[tokio::test]
async fn an_answer_that_ignores_the_range_among_others_is_no_other_object() {
    let test = TestDepot::new(&[&[Fault::IgnoreRangeOnce { after: 3 }]]).await;
    let (got, end) = test.get_all().await;
    end.unwrap();
    assert!(got == test.data);
}

/// What the hash has passed is written over, and the cache keeps a blob that is not its
/// digest. The pause only gives the hash time to pass the front; right code needs no time.
#[tokio::test]
async fn a_stream_does_not_write_over_what_the_hash_has_passed() {
    let stream = [Fault::IgnoreRange, Fault::Flip { at: 10 }, Fault::HoldFrom { at: 0 }];
    let test = TestDepot::with(&[&[Fault::HoldFrom { at: 700_000 }], &stream], |h| h.settings.connections = 1).await;
    let depot = test.depot.clone();
    let reading = tokio::spawn(async move { get(&depot, ByteRange::whole(u64::MAX)).await });
    while !test.depot.active_fills().values().any(|fill| fill.progress().written() >= 600_000) {
        tokio::task::yield_now().await;
    }
    test.origins[0].turn(&[Fault::Status(403)]);
    while test.origins[1].requests() == 0 {
        tokio::task::yield_now().await;
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    test.origins[1].heal();
    let _ = reading.await.unwrap();
    test.settle().await;
    if test.blob_is_here() {
        let (got, end) = test.get_all().await;
        end.unwrap();
        assert!(got == test.data, "what the cache holds is its digest");
    }
}

#[tokio::test]
async fn cut_and_stalled_connections_are_taken_up_where_they_broke() {
    let faults = [Fault::CutAfter { bytes: 100_000, times: 5 }, Fault::StallAfter { bytes: 50_000, times: 2 }];
    let test = TestDepot::with(&[&faults], |h| h.stall = Duration::from_millis(300)).await;
    let (got, end) = test.get_all().await;
    end.unwrap();
    assert!(got == test.data);
}

#[tokio::test]
async fn an_object_that_changes_once_is_read_anew() {
    let test = TestDepot::new(&[&[Fault::ChangeAfter { requests: 3 }]]).await;
    let (got, end) = test.get_all().await;
    match end {
        Ok(_) => assert!(got == test.data),
        Err(error) => assert!(error.to_string().contains("changed while it was read"), "{error}"),
    }
    let (got, end) = test.get_all().await;
    end.unwrap();
    assert!(got == test.data);
}

#[tokio::test]
async fn an_object_that_keeps_changing_is_given_up() {
    let test = TestDepot::new(&[&[Fault::AlwaysChange]]).await;
    let error = test.get_all().await.1.unwrap_err();
    test.settle().await;
    let text = error.to_string();
    assert!(text.contains("keeps changing") || text.contains("changed while"), "{text}");
    assert!(!test.blob_is_here());
}

#[tokio::test]
async fn a_missing_object_is_not_found_and_costs_one_trip() {
    let test = TestDepot::new(&[&[Fault::Status(404)]]).await;
    for _ in 0..3 {
        assert_eq!(test.get_all().await.1.unwrap_err().outcome(), Outcome::NotFound);
        assert_eq!(test.depot.size(&test.found()).await.unwrap_err().outcome(), Outcome::NotFound);
    }
    assert_eq!(test.origins[0].requests(), 1);
}

#[tokio::test]
async fn a_source_that_is_down_leaves_the_next_one() {
    let test = TestDepot::new(&[&[Fault::Status(500)], &[]]).await;
    let (got, end) = test.get_all().await;
    end.unwrap();
    assert!(got == test.data);
    assert_eq!(test.origins[0].requests(), 3, "one try and two retries");
}

#[tokio::test]
async fn when_no_source_can_be_read_the_client_is_told_to_come_back() {
    let test = TestDepot::new(&[&[Fault::Status(403)], &[Fault::Status(500)]]).await;
    let error = test.get_all().await.1.unwrap_err();
    assert!(matches!(error, ReadError::Unavailable { .. }), "{error}");
    assert!(!error.public().contains("127.0.0.1"));
    test.origins[1].heal();
    assert!(test.get_all().await.1.is_ok(), "an outage is not remembered");
}
