use proptest::prelude::*;

use super::*;
use crate::asset::Digest;

fn progress(size: u64, part_size: u64) -> FillProgress {
    let mut progress = FillProgress::default();
    progress.start(size, part_size, None, (part_size, &[]));
    progress
}

fn block_list(data: &[u8], block_size: usize) -> BlockList {
    let blocks: Vec<String> = data.chunks(block_size).map(|c| format!("\"{}\"", Digest::of(c))).collect();
    let text = format!(
        r#"{{"version":1,"sha256":"{}","size":{},"block_size":{block_size},"blocks":[{}]}}"#,
        Digest::of(data),
        data.len(),
        blocks.join(",")
    );
    BlockList::parse(text.as_bytes(), &Digest::of(text.as_bytes()), &Digest::of(data)).unwrap()
}

#[test]
fn parts_are_claimed_in_order_and_once() {
    let mut progress = progress(100, 30);
    let claims: Vec<String> = std::iter::from_fn(|| progress.claim()).map(|r| r.to_string()).collect();
    assert_eq!(claims, ["0-29", "30-59", "60-89", "90-99"]);
    assert_eq!(progress.claim(), None);
}

#[test]
fn what_readers_wait_for_comes_first_and_each_has_its_turn() {
    let mut progress = progress(1000, 10);
    progress.add_waiter(ByteRange::new(505, 600));
    progress.add_waiter(ByteRange::new(905, 950));
    let claims: Vec<u64> = std::iter::from_fn(|| progress.claim()).take(4).map(|r| r.start).collect();
    assert_eq!(claims, [500, 900, 510, 910]);
}

#[test]
fn a_reader_that_left_is_not_waited_for() {
    let mut progress = progress(1000, 10);
    let id = progress.add_waiter(ByteRange::new(500, 600));
    progress.remove_waiter(id);
    assert_eq!(progress.claim(), Some(ByteRange::new(0, 10)));
}

#[test]
fn a_released_claim_is_given_again_without_what_was_written_of_it() {
    let mut progress = progress(100, 50);
    let claim = progress.claim().unwrap();
    assert_eq!(progress.write(ByteRange::new(0, 20)), Vec::<usize>::new());
    progress.release(claim);
    assert_eq!(progress.claim(), Some(ByteRange::new(20, 50)));
    assert_eq!(progress.write(ByteRange::new(20, 50)), [0]);
    assert_eq!(progress.write(ByteRange::new(20, 50)), Vec::<usize>::new(), "a part becomes whole once");
}

#[test]
fn what_came_of_a_part_is_known_by_grains_and_not_asked_for_again() {
    let mut progress = FillProgress::default();
    progress.start(100, 40, None, (10, &[true, false]));
    assert_eq!(progress.write(ByteRange::new(45, 72)), [5, 6]);
    assert_eq!(progress.write(ByteRange::new(40, 45)), [4]);
    let claims: Vec<String> = std::iter::from_fn(|| progress.claim()).map(|r| r.to_string()).collect();
    assert_eq!(claims, ["10-39", "72-79", "80-99"]);
    assert_eq!(progress.write(ByteRange::new(72, 100)), [7, 8, 9]);
}

#[test]
fn a_resumed_fill_asks_only_for_what_is_missing() {
    let mut progress = FillProgress::default();
    progress.start(100, 30, None, (30, &[true, false, true, false]));
    let claims: Vec<String> = std::iter::from_fn(|| progress.claim()).map(|r| r.to_string()).collect();
    assert_eq!(claims, ["30-59", "90-99"]);
}

#[test]
fn the_tail_of_what_was_asked_is_held_back() {
    let mut progress = progress(1000, 1000);
    progress.write(ByteRange::new(0, 1000));
    assert_eq!(progress.readable(0, 600, 100, false), Readable::Unverified(ByteRange::new(0, 500), 0));
    assert_eq!(progress.readable(500, 600, 100, false), Readable::Nothing);
    assert_eq!(progress.readable(0, 600, 100, true), Readable::Nothing, "whole: nothing before the proof");
    assert_eq!(progress.readable(0, 50, 50, false), Readable::Nothing, "a short range is all tail");
}

#[test]
fn a_bad_block_is_asked_for_again_alone() {
    let data = vec![9; 20_000];
    let mut progress = FillProgress::default();
    progress.start(20_000, 16_384, Some(Arc::new(block_list(&data, 4096))), (16_384, &[]));
    progress.write(ByteRange::whole(20_000));
    assert_eq!(
        progress.readable(0, 20_000, 100, false),
        Readable::Nothing,
        "with a block list only proven blocks go out"
    );
    while let Some(block) = progress.next_unverified_block() {
        progress.record_block(block, block != 2);
        if block == 2 {
            break;
        }
    }
    assert_eq!(progress.claim(), Some(ByteRange::new(8192, 12_288)));
    assert_eq!(progress.readable(100, 20_000, 100, false), Readable::Verified(ByteRange::new(100, 8192)));
    assert!(!progress.is_complete());
}

#[test]
fn a_block_that_a_reader_waits_for_is_proven_first() {
    let data = vec![9; 20_000];
    let mut progress = FillProgress::default();
    progress.start(20_000, 16_384, Some(Arc::new(block_list(&data, 4096))), (16_384, &[]));
    progress.write(ByteRange::whole(20_000));
    progress.add_waiter(ByteRange::new(13_000, 13_001));
    assert_eq!(progress.next_unverified_block(), Some(3));
}

#[test]
fn proven_blocks_outlive_a_new_generation() {
    let data = vec![9; 8192];
    let mut progress = FillProgress::default();
    progress.start(8192, 8192, Some(Arc::new(block_list(&data, 4096))), (8192, &[]));
    progress.write(ByteRange::whole(8192));
    progress.record_block(1, true);
    progress.reset(false, ReadError::Closing);
    assert!(progress.fault_since(0).is_some() && progress.fault_since(1).is_none());
    assert_eq!((progress.generation(), progress.written()), (1, 4096));
    assert_eq!(progress.claim(), Some(ByteRange::new(0, 4096)));
    progress.reset(true, ReadError::Closing);
    assert_eq!(progress.written(), 0);
}

/// Finding the next block to prove must not look at all that are proven: they may be a million.
#[test]
fn blocks_are_proven_in_whatever_order_they_come() {
    let data = vec![9; 40_000];
    let mut progress = FillProgress::default();
    progress.start(40_000, 8192, Some(Arc::new(block_list(&data, 4096))), (8192, &[]));
    for range in [ByteRange::new(3000, 9000), ByteRange::new(20_000, 30_000), ByteRange::new(36_000, 40_000)] {
        progress.write(range);
    }
    let mut proven = Vec::new();
    while let Some(block) = progress.next_unverified_block() {
        progress.record_block(block, true);
        proven.push(block);
    }
    assert_eq!(proven, [1, 5, 6, 9]);
}

#[test]
fn what_is_missing_of_a_range_are_its_gaps() {
    let mut progress = progress(100, 100);
    progress.write(ByteRange::new(10, 20));
    progress.write(ByteRange::new(30, 40));
    let gaps: Vec<String> = progress.missing(ByteRange::new(15, 50)).iter().map(ToString::to_string).collect();
    assert_eq!(gaps, ["20-29", "40-49"]);
    assert_eq!(progress.missing(ByteRange::new(12, 18)), []);
}

proptest! {
    /// However the claims, failures and readers fall, every byte is fetched, none while another fetches it.
    #[test]
    fn every_byte_is_claimed_until_all_are_here(
        size in 1u64..500,
        part_size in 1u64..90,
        wants in proptest::collection::vec((0u64..500, 0u64..500), 0..4),
        fates in proptest::collection::vec(0u64..100, 1..40),
    ) {
        let mut progress = progress(size, part_size);
        for (a, b) in wants {
            progress.add_waiter(ByteRange::new(a, b));
        }
        let mut fates = fates.into_iter().cycle();
        let mut open: Vec<ByteRange> = Vec::new();
        for round in 0.. {
            prop_assert!(round < 20_000, "it comes to an end");
            if let Some(claim) = progress.claim() {
                prop_assert!(!claim.is_empty() && claim.len() <= part_size && claim.end <= size);
                prop_assert!(open.iter().all(|other| other.intersect(&claim).is_empty()));
                open.push(claim);
            }
            if open.is_empty() {
                break;
            }
            let fate = fates.next().unwrap_or(0);
            let claim = open.swap_remove(usize::try_from(fate).unwrap() % open.len());
            // A fetch brings all of its bytes, or at least one and fails: no fate stands still for ever.
            let got = if fate % 3 == 0 { 1 + fate % claim.len() } else { claim.len() };
            progress.write(ByteRange::new(claim.start, claim.start + got));
            progress.release(claim);
        }
        prop_assert!(progress.is_complete());
    }

    #[test]
    fn no_grant_reaches_into_the_tail_or_past_what_is_here(
        here in proptest::collection::vec((0u64..300, 0u64..300), 0..5),
        offset in 0u64..300, end in 0u64..300, tail in 0u64..100,
    ) {
        let mut progress = progress(300, 50);
        let mut model = [false; 300];
        for (a, b) in here {
            let range = ByteRange::new(a, b);
            progress.write(range);
            (range.start..range.end).for_each(|at| model[usize::try_from(at).unwrap()] = true);
        }
        if let Readable::Unverified(range, _) = progress.readable(offset, end, tail, false) {
            prop_assert_eq!(range.start, offset);
            prop_assert!(range.end + tail <= end);
            prop_assert!((range.start..range.end).all(|at| model[usize::try_from(at).unwrap()]));
        }
    }
}
#[test]
fn with_release_whole_not_even_a_proven_block_goes_out() {
    let data = vec![9; 8192];
    let mut progress = FillProgress::default();
    progress.start(8192, 8192, Some(Arc::new(block_list(&data, 4096))), (8192, &[]));
    progress.write(ByteRange::whole(8192));
    progress.record_block(0, true);
    assert_eq!(progress.readable(0, 4096, 4096, true), Readable::Nothing, "the second block is not proven yet");
}
