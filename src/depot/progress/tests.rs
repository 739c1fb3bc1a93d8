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
fn parts_are_claimed_in_order() {
    let mut progress = progress(100, 30);
    let claims: Vec<String> = std::iter::from_fn(|| progress.claim()).map(|r| r.to_string()).collect();
    assert_eq!(claims, ["0-29", "30-59", "60-89", "90-99"]);
    assert_eq!(progress.claim(), None);
}

#[test]
fn waiters_are_served_in_turn() {
    let mut progress = progress(1000, 10);
    progress.add_waiter(ByteRange::new(505, 600));
    progress.add_waiter(ByteRange::new(905, 950));
    let claims: Vec<u64> = std::iter::from_fn(|| progress.claim()).take(4).map(|r| r.start).collect();
    assert_eq!(claims, [500, 900, 510, 910]);
}

#[test]
fn removed_waiter_is_not_served() {
    let mut progress = progress(1000, 10);
    let id = progress.add_waiter(ByteRange::new(500, 600));
    progress.remove_waiter(id);
    assert_eq!(progress.claim(), Some(ByteRange::new(0, 10)));
}

#[test]
fn released_claim_excludes_written_bytes() {
    let mut progress = progress(100, 50);
    let claim = progress.claim().unwrap();
    assert_eq!(progress.write(ByteRange::new(0, 20)), Vec::<usize>::new());
    progress.release(claim);
    assert_eq!(progress.claim(), Some(ByteRange::new(20, 50)));
    assert_eq!(progress.write(ByteRange::new(20, 50)), [0]);
    assert_eq!(progress.write(ByteRange::new(20, 50)), Vec::<usize>::new(), "a chunk becomes complete once");
}

#[test]
fn written_chunks_are_not_claimed() {
    let mut progress = FillProgress::default();
    progress.start(100, 40, None, (10, &[true, false]));
    assert_eq!(progress.write(ByteRange::new(45, 72)), [5, 6]);
    assert_eq!(progress.write(ByteRange::new(40, 45)), [4]);
    let claims: Vec<String> = std::iter::from_fn(|| progress.claim()).map(|r| r.to_string()).collect();
    assert_eq!(claims, ["10-39", "72-79", "80-99"]);
    assert_eq!(progress.write(ByteRange::new(72, 100)), [7, 8, 9]);
}

#[test]
fn resumed_progress_claims_missing_parts() {
    let mut progress = FillProgress::default();
    progress.start(100, 30, None, (30, &[true, false, true, false]));
    let claims: Vec<String> = std::iter::from_fn(|| progress.claim()).map(|r| r.to_string()).collect();
    assert_eq!(claims, ["30-59", "90-99"]);
}

#[test]
fn unverified_tail_is_held_back() {
    let mut progress = progress(1000, 1000);
    progress.write(ByteRange::new(0, 1000));
    progress.set_hashed(&hash_of(1000), 0);
    assert_eq!(
        progress.readable(ByteRange::new(0, 600), 0, 100, false),
        Readable::Unverified(ByteRange::new(0, 500), 0)
    );
    assert_eq!(progress.readable(ByteRange::new(0, 600), 500, 100, false), Readable::Nothing);
    assert_eq!(
        progress.readable(ByteRange::new(0, 600), 0, 100, true),
        Readable::Nothing,
        "whole: nothing before verification"
    );
    assert_eq!(progress.readable(ByteRange::new(0, 50), 0, 50, false), Readable::Nothing, "a short range is all tail");
}

/// The hash of a prefix of this length.
fn hash_of(length: usize) -> Verifier {
    let mut verifier = Verifier::new();
    verifier.update(&vec![0; length]);
    verifier
}

/// So that the hash proves what was sent if the disk fails.
#[test]
fn reader_of_prefix_gets_hashed_bytes_only() {
    let mut progress = progress(1000, 1000);
    progress.write(ByteRange::new(0, 1000));
    let whole = ByteRange::new(0, 1000);
    assert_eq!(progress.readable(whole, 0, 100, false), Readable::Nothing);
    progress.set_hashed(&hash_of(300), 0);
    assert_eq!(progress.readable(whole, 0, 100, false), Readable::Unverified(ByteRange::new(0, 300), 0));
    assert_eq!(progress.readable(whole, 300, 100, false), Readable::Nothing);
    let later = ByteRange::new(301, 1000);
    assert_eq!(progress.readable(later, 301, 100, false), Readable::Unverified(ByteRange::new(301, 900), 0));
    progress.set_hashed(&hash_of(200), 0);
    assert_eq!(progress.hashed().length(), 300, "a shorter prefix proves less");
    progress.reset(false, ReadError::Closing);
    progress.set_hashed(&hash_of(300), 0);
    assert_eq!(progress.hashed().length(), 0, "those bytes were discarded");
}

#[test]
fn bad_block_is_claimed_again() {
    let data = vec![9; 20_000];
    let mut progress = FillProgress::default();
    progress.start(20_000, 16_384, Some(Arc::new(block_list(&data, 4096))), (16_384, &[]));
    progress.write(ByteRange::whole(20_000));
    assert_eq!(
        progress.readable(ByteRange::new(0, 20_000), 0, 100, false),
        Readable::Nothing,
        "with a block list only verified blocks are readable"
    );
    while let Some(block) = progress.next_unverified_block() {
        progress.record_block(block, block != 2);
        if block == 2 {
            break;
        }
    }
    assert_eq!(progress.claim(), Some(ByteRange::new(8192, 12_288)));
    assert_eq!(
        progress.readable(ByteRange::new(0, 20_000), 100, 100, false),
        Readable::Verified(ByteRange::new(100, 8192))
    );
    assert!(!progress.is_complete());
}

#[test]
fn awaited_block_is_verified_first() {
    let data = vec![9; 20_000];
    let mut progress = FillProgress::default();
    progress.start(20_000, 16_384, Some(Arc::new(block_list(&data, 4096))), (16_384, &[]));
    progress.write(ByteRange::whole(20_000));
    progress.add_waiter(ByteRange::new(13_000, 13_001));
    assert_eq!(progress.next_unverified_block(), Some(3));
}

#[test]
fn verified_blocks_survive_reset() {
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

/// The next block to verify must be found without a scan of the verified ones: there may be a million.
#[test]
fn blocks_are_verified_in_any_order() {
    let data = vec![9; 40_000];
    let mut progress = FillProgress::default();
    progress.start(40_000, 8192, Some(Arc::new(block_list(&data, 4096))), (8192, &[]));
    for range in [ByteRange::new(3000, 9000), ByteRange::new(20_000, 30_000), ByteRange::new(36_000, 40_000)] {
        progress.write(range);
    }
    let mut verified = Vec::new();
    while let Some(block) = progress.next_unverified_block() {
        progress.record_block(block, true);
        verified.push(block);
    }
    assert_eq!(verified, [1, 5, 6, 9]);
}

#[test]
fn missing_returns_gaps_of_range() {
    let mut progress = progress(100, 100);
    progress.write(ByteRange::new(10, 20));
    progress.write(ByteRange::new(30, 40));
    let gaps: Vec<String> = progress.missing(ByteRange::new(15, 50)).iter().map(ToString::to_string).collect();
    assert_eq!(gaps, ["20-29", "40-49"]);
    assert_eq!(progress.missing(ByteRange::new(12, 18)), []);
}

proptest! {
    /// In any order of claims, failures and readers, every byte is fetched, and none by two fetchers at a time.
    #[test]
    fn every_byte_is_claimed_until_complete(
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
            prop_assert!(round < 20_000, "all bytes are claimed in the end");
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
            // A fetch writes all of its bytes, or fails after at least one: every round makes progress.
            let got = if fate % 3 == 0 { 1 + fate % claim.len() } else { claim.len() };
            progress.write(ByteRange::new(claim.start, claim.start + got));
            progress.release(claim);
        }
        prop_assert!(progress.is_complete());
    }

    #[test]
    fn readable_range_matches_byte_model(
        written in proptest::collection::vec((0u64..300, 0u64..300), 0..5),
        offset in 0u64..300, end in 0u64..300, tail in 0u64..100,
    ) {
        let mut progress = progress(300, 50);
        let mut model = [false; 300];
        for (a, b) in written {
            let range = ByteRange::new(a, b);
            progress.write(range);
            (range.start..range.end).for_each(|at| model[usize::try_from(at).unwrap()] = true);
        }
        let end = end.max(offset);
        // As of a reader that begins in the hashed prefix.
        progress.set_hashed(&hash_of(model.len()), 0);
        let limit = end.saturating_sub(tail);
        let run = (offset..limit).take_while(|at| model[usize::try_from(*at).unwrap()]).count() as u64;
        let expected = match run {
            0 => Readable::Nothing,
            run => Readable::Unverified(ByteRange::new(offset, offset + run), 0),
        };
        prop_assert_eq!(progress.readable(ByteRange::new(offset, end.max(offset)), offset, tail, false), expected);
    }
}
#[test]
fn whole_only_returns_nothing() {
    let data = vec![9; 8192];
    let mut progress = FillProgress::default();
    progress.start(8192, 8192, Some(Arc::new(block_list(&data, 4096))), (8192, &[]));
    progress.write(ByteRange::whole(8192));
    progress.record_block(0, true);
    assert_eq!(
        progress.readable(ByteRange::new(0, 4096), 0, 4096, true),
        Readable::Nothing,
        "the second block is not verified"
    );
}
