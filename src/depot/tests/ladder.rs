//! Sources whose answers are odd in form and right in substance: the asset comes whole.

use super::origin::OddRange;
use super::*;

/// Fills from a source with `faults`, with the size in the catalog and without, and returns the requests that each took.
async fn requests_to_fill(faults: &[Fault]) -> [usize; 2] {
    let mut requests = [0; 2];
    for (size, requests) in [Some(SIZE as u64), None].into_iter().zip(&mut requests) {
        let test = TestDepot::with(&[faults], |h| h.asset.size = size).await;
        let (got, end) = test.get_all().await;
        end.unwrap_or_else(|error| panic!("{faults:?} with the size {size:?}: {error}"));
        assert!(got == test.data, "{faults:?}");
        test.wait_for_fills().await;
        assert!(test.is_cached(), "{faults:?}");
        *requests = test.origins[0].requests();
    }
    requests
}

#[tokio::test]
async fn differing_validators_come_whole() {
    for fault in [Fault::AlwaysChange, Fault::ChangeAfter { requests: 3 }] {
        let parts = SIZE.div_ceil(256 << 10);
        // Each connection may have asked with the condition once.
        assert!(requests_to_fill(&[fault]).await.iter().all(|requests| *requests <= parts + 4), "{fault:?}");
    }
}

#[tokio::test]
async fn refused_conditions_come_whole() {
    for status in [400, 412, 501, 304, 403, 404] {
        requests_to_fill(&[Fault::RefuseCondition(status)]).await;
    }
}

#[tokio::test]
async fn odd_ranges_come_whole() {
    for odd in [
        OddRange::UnknownTotal,
        OddRange::Less(100_000),
        OddRange::Aligned(400_000),
        OddRange::Everything,
        OddRange::NoContentRange,
        OddRange::Multipart,
        OddRange::Refused,
        OddRange::As200,
        OddRange::WrongOffset,
    ] {
        requests_to_fill(&[Fault::Range(odd)]).await;
    }
}

/// Its clients may have received wrong bytes before: those fail, and the next one gets the right ones.
#[tokio::test]
async fn misleading_ranges_are_read_again() {
    for odd in [OddRange::HiddenOffset, OddRange::WrongTotal] {
        for size in [None, Some(SIZE as u64)] {
            let test = TestDepot::with(&[&[Fault::Range(odd)]], |h| h.asset.size = size).await;
            if let (got, Ok(_)) = test.get_all().await {
                assert!(got == test.data, "{odd:?}");
            }
            test.wait_for_fills().await;
            assert!(test.is_cached(), "{odd:?} {size:?}");
        }
    }
}

#[tokio::test]
async fn unknown_length_comes_whole() {
    assert_eq!(requests_to_fill(&[Fault::NoLength]).await, [1, 3]);
    let test = TestDepot::new(&[&[Fault::NoLength]]).await;
    assert_eq!(test.depot.size(&test.found()).await.unwrap(), SIZE as u64);
}

#[tokio::test]
async fn same_refusal_is_not_repeated() {
    for status in [400, 405, 501] {
        let test = TestDepot::new(&[&[Fault::Status(status)]]).await;
        test.get_all().await.1.unwrap_err();
        assert_eq!(test.origins[0].requests(), 2, "once with a range, once without: {status}");
    }
}

#[tokio::test]
async fn wrong_bytes_name_what_was_seen() {
    let test = TestDepot::new(&[&[Fault::AlwaysChange, Fault::Flip { at: 2_999_999 }]]).await;
    let error = test.get_all().await.1.unwrap_err().to_string();
    test.wait_for_fills().await;
    let detail = test.depot.past_fills()[0].detail.clone().unwrap();
    assert!(error.contains("SHA-256"), "{error}");
    assert!(detail.contains("disagree about the object: ") && detail.contains("412"), "{detail}");
    assert!(!test.is_cached());
}

#[tokio::test]
async fn bypass_survives_odd_source() {
    for fault in [Fault::AlwaysChange, Fault::NoLength, Fault::Range(OddRange::NoContentRange)] {
        let test = TestDepot::with(&[&[fault]], |h| {
            h.max_size = 1 << 20;
            h.asset.size = Some(SIZE as u64);
        })
        .await;
        let (got, end) = test.get_all().await;
        end.unwrap();
        assert!(got == test.data, "{fault:?}");
    }
}
