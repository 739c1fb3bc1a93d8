//! Sources and connections that are alive and bring next to nothing. Each would take hours without the others.

use bootdepot_test_support::deadline::stretch;
use tokio::time::timeout;

use super::*;

/// A dripping body brings a byte each 20 ms, so that it never runs into the stall timeout.
fn stall() -> Duration {
    stretch(Duration::from_millis(500))
}

#[tokio::test]
async fn dripping_source_is_joined_by_next() {
    for size in [None, Some(SIZE as u64)] {
        for at in [0, 1_000_000] {
            let drip = [Fault::Drip { at, times: usize::MAX }];
            let test = TestDepot::with(&[&drip, &[]], |h| {
                (h.stall, h.asset.size) = (stall(), size);
                h.settings.part_size = 8 << 20;
            })
            .await;
            let (got, end) = test.get_all().await;
            end.unwrap();
            assert!(got == test.data);
            assert!(test.origins[1].requests() > 0, "from the offset {at}");
        }
    }
}

#[tokio::test]
async fn dripping_part_is_asked_again() {
    let drip = [Fault::Drip { at: 1_000_000, times: 1 }];
    for part_size in [256 << 10, 8 << 20] {
        let test = TestDepot::with(&[&drip], |h| {
            h.stall = stall();
            h.settings.part_size = part_size;
        })
        .await;
        let (got, end) = test.get_all().await;
        end.unwrap();
        assert!(got == test.data);
        test.wait_for_fills().await;
        assert!(test.is_cached());
    }
}

#[tokio::test]
async fn slow_sources_without_length_complete() {
    let faults = [Fault::NoLength, Fault::Drip { at: 99_900, times: usize::MAX }];
    let test = TestDepot::with(&[&faults, &faults], |test| {
        (test.stall, test.asset.size) = (stall(), None);
        test.data.truncate(100_000);
        test.asset.digest = Digest::of(&test.data);
        test.origins.iter().for_each(|origin| origin.put("disk.img", test.data.clone()));
    })
    .await;
    let (got, end) = timeout(stretch(Duration::from_mins(2)), test.get_all()).await.expect("it never ends");
    end.unwrap();
    assert!(got == test.data);
}

#[tokio::test]
async fn silent_source_does_not_hold_fill() {
    let test = TestDepot::with(&[&[Fault::Silent], &[]], |h| h.stall = stall()).await;
    let (got, end) = test.get_all().await;
    end.unwrap();
    assert!(got == test.data);
}

#[tokio::test]
async fn wrong_bytes_of_joined_source_are_replaced() {
    let drip = [Fault::Drip { at: 1_000_000, times: 1 }];
    let test = TestDepot::with(&[&drip, &[Fault::Flip { at: 2_999_999 }]], |h| {
        h.stall = stall();
        h.settings.part_size = 8 << 20;
        h.settings.connections = 1;
    })
    .await;
    // A reader that has sent bytes of the mixture may fail.
    if let (got, Ok(_)) = test.get_all().await {
        assert!(got == test.data);
    }
    test.wait_for_fills().await;
    let (got, end) = test.get_all().await;
    end.unwrap();
    assert!(got == test.data);
}
