//! Assets with a block list.

use super::*;
use crate::catalog::BlockListSource;

fn block_list(data: &[u8], block_size: usize) -> String {
    let blocks: Vec<String> = data.chunks(block_size).map(|c| format!("\"{}\"", Digest::of(c))).collect();
    let (digest, size, blocks) = (Digest::of(data), data.len(), blocks.join(","));
    format!(r#"{{"version":1,"sha256":"{digest}","size":{size},"block_size":{block_size},"blocks":[{blocks}]}}"#)
}

/// Adds a block list to the asset, on its first origin.
pub(super) fn with_block_list(test: &mut TestDepot) {
    let list = block_list(&test.data, 100_000);
    test.asset.blocks =
        Some(BlockListSource { source: test.origins[0].url("disk.img.blocks"), digest: Digest::of(list.as_bytes()) });
    test.origins[0].put("disk.img.blocks", list.into_bytes());
}

#[tokio::test]
async fn block_list_completes_range_before_whole() {
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
    assert!(!test.is_cached(), "the origin still holds back the rest");
    test.origins[0].heal();
    let (got, end) = test.get_all().await;
    end.unwrap();
    assert!(got == test.data);
}

#[tokio::test]
async fn bad_block_is_refetched_alone() {
    let test = TestDepot::with(&[&[Fault::FlipOnce { at: 1_234_567 }]], with_block_list).await;
    let (got, end) = test.get_all().await;
    end.unwrap();
    assert!(got == test.data);
    test.wait_for_fills().await;
    assert!(test.is_cached());
    assert_eq!(test.origins[0].sent("disk.img"), SIZE as u64 + 100_000);
}

#[tokio::test]
async fn block_list_never_sends_wrong_bytes() {
    let test = TestDepot::with(&[&[Fault::Flip { at: 1_234_567 }]], with_block_list).await;
    let (got, end) = test.get_all().await;
    assert_eq!(end.unwrap_err().outcome(), Outcome::DigestMismatch);
    assert!(got.len() <= 1_200_000 && got == test.data[..got.len()]);
}

#[tokio::test]
async fn untrusted_block_list_is_ignored() {
    let test = TestDepot::with(&[&[]], |h| {
        with_block_list(h);
        h.origins[0].put("disk.img.blocks", b"{}".to_vec());
    })
    .await;
    let (got, end) = test.get_all().await;
    end.unwrap();
    assert!(got == test.data);
}

/// Block 0 is verified from the first source. The second source ignores ranges, and has a wrong byte in that block: if it
/// overwrote the block, a reader would get the wrong byte as verified.
#[tokio::test]
async fn stream_never_overwrites_verified_blocks() {
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
    test.origins[0].set_faults(&[Fault::Status(403)]);
    wait_until(|| test.depot.active_fills().values().any(|fill| fill.progress().written() >= 1_400_000)).await;
    let (got, end) = test.get(range).await;
    end.unwrap();
    assert!(got == test.part(range), "verified bytes do not change");
}

#[tokio::test]
async fn bypass_with_block_list_reads_range() {
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
