//! Assets with a block list.

use super::*;
use crate::catalog::BlockListSource;

fn block_list(data: &[u8], block_size: usize) -> String {
    let blocks: Vec<String> = data.chunks(block_size).map(|c| format!("\"{}\"", Digest::of(c))).collect();
    let (digest, size, blocks) = (Digest::of(data), data.len(), blocks.join(","));
    format!(r#"{{"version":1,"sha256":"{digest}","size":{size},"block_size":{block_size},"blocks":[{blocks}]}}"#)
}

/// Gives the test's asset a block list on its first origin.
pub(super) fn with_block_list(test: &mut TestDepot) {
    let list = block_list(&test.data, 100_000);
    test.asset.blocks =
        Some(BlockListSource { source: test.origins[0].url("disk.img.blocks"), digest: Digest::of(list.as_bytes()) });
    test.origins[0].put("disk.img.blocks", list.into_bytes());
}

#[tokio::test]
async fn with_a_block_list_a_cold_range_completes_before_the_rest_is_here() {
    let held = [Fault::HoldFrom { at: 1_000_000 }];
    let test = TestDepot::with(&[&held], |h| {
        with_block_list(h);
        h.settings.connections = 8;
    })
    .await;
    let range = ByteRange::new(450_000, 650_000);
    let (got, end) = test.get(range).await;
    end.unwrap();
    assert!(got == test.part(range));
    assert!(!test.blob_is_here(), "the rest is still being held");
    test.origins[0].heal();
    let (got, end) = test.get_all().await;
    end.unwrap();
    assert!(got == test.data);
}

#[tokio::test]
async fn with_a_block_list_one_bad_block_is_asked_for_again_alone() {
    let test = TestDepot::with(&[&[Fault::FlipOnce { at: 1_234_567 }]], with_block_list).await;
    let (got, end) = test.get_all().await;
    end.unwrap();
    assert!(got == test.data);
    test.settle().await;
    assert!(test.blob_is_here());
    assert_eq!(test.origins[0].sent("disk.img"), SIZE as u64 + 100_000);
}

#[tokio::test]
async fn with_a_block_list_no_wrong_byte_goes_out_at_all() {
    let test = TestDepot::with(&[&[Fault::Flip { at: 1_234_567 }]], with_block_list).await;
    let (got, end) = test.get_all().await;
    assert_eq!(end.unwrap_err().outcome(), Outcome::DigestMismatch);
    assert!(got.len() <= 1_200_000 && got == test.data[..got.len()]);
}

#[tokio::test]
async fn a_block_list_that_is_not_the_trusted_one_is_done_without() {
    let test = TestDepot::with(&[&[]], |h| {
        with_block_list(h);
        h.origins[0].put("disk.img.blocks", b"{}".to_vec());
    })
    .await;
    let (got, end) = test.get_all().await;
    end.unwrap();
    assert!(got == test.data);
}

/// Block 0 is proven from the first source, then the second one, which ignores ranges, writes
/// its wrong byte 10 over it, and a reader is given that byte as proven, with a clean end.
#[tokio::test]
async fn a_stream_does_not_write_over_proven_blocks() {
    let stream = [Fault::IgnoreRange, Fault::Flip { at: 10 }, Fault::HoldFrom { at: 1_500_000 }];
    let test = TestDepot::with(&[&[Fault::HoldFrom { at: 700_000 }], &stream], |h| {
        with_block_list(h);
        h.settings.connections = 1;
    })
    .await;
    let range = ByteRange::new(0, 100);
    let (got, end) = test.get(range).await;
    end.unwrap();
    assert!(got == test.part(range), "from the first source");
    test.origins[0].turn(&[Fault::Status(403)]);
    while !test.depot.active_fills().values().any(|fill| fill.progress().written() >= 1_400_000) {
        tokio::task::yield_now().await;
    }
    let (got, end) = test.get(range).await;
    end.unwrap();
    assert!(got == test.part(range), "proven bytes stay what they were");
}

#[tokio::test]
async fn around_the_cache_a_block_list_makes_ranges_cheap() {
    let test = TestDepot::with(&[&[]], |h| {
        with_block_list(h);
        h.max_size = 1 << 20;
    })
    .await;
    let range = ByteRange::new(2_345_678, 2_545_999);
    let (got, end) = test.get(range).await;
    assert_eq!(end.unwrap(), CacheState::Bypass);
    assert!(got == test.part(range));
    assert!(test.origins[0].sent("disk.img") < 1_000_000);
}
