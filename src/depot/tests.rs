//! The depot over a real cache directory and a real HTTP origin in this process, whose misbehaviour each test chooses.

mod preload;
mod shelf;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures_util::StreamExt as _;

use self::shelf::{Fault, Shelf};
use super::*;
use crate::asset::AssetName;
use crate::cache::CacheSettings;
use crate::catalog::BlocksSource;
use crate::origin::Timeouts;

const SIZE: usize = 3_000_000;

fn bytes(seed: u8) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(u64::from(seed));
    std::iter::repeat_with(|| random.u8(..)).take(SIZE).collect()
}

/// A depot in a directory of its own, and the origins of its one asset `disk.img`.
struct House {
    depot: Depot,
    dir: tempfile::TempDir,
    shelves: Vec<Shelf>,
    data: Vec<u8>,
    asset: Asset,
    settings: FillSettings,
    max_size: u64,
    stall: Duration,
}

impl House {
    /// A house whose asset has one source for each list of faults.
    async fn new(faults: &[&[Fault]]) -> Self {
        Self::with(faults, |_| {}).await
    }

    async fn with(faults: &[&[Fault]], change: impl FnOnce(&mut House)) -> Self {
        let data = bytes(1);
        let mut shelves = Vec::new();
        for faults in faults {
            shelves.push(Shelf::start(data.clone(), faults).await);
        }
        let sources = shelves.iter().map(|shelf| shelf.url("disk.img")).collect();
        let asset = Asset {
            name: AssetName::parse("disk.img").unwrap(),
            digest: Digest::of(&data),
            sources,
            size: None,
            content_type: "application/octet-stream".into(),
            pin: false,
            blocks: None,
            since: SystemTime::UNIX_EPOCH,
        };
        let settings = FillSettings {
            part_size: 256 << 10,
            connections: 4,
            retries: 2,
            negative_ttl: Duration::from_hours(1),
            ..FillSettings::default()
        };
        let dir = tempfile::tempdir().unwrap();
        let (max_size, stall) = (1 << 30, Duration::from_mins(1));
        let depot = depot(&dir, &asset, &settings, max_size, stall);
        let mut house = Self { depot, dir, shelves, data, asset, settings, max_size, stall };
        change(&mut house);
        house.reopen().await;
        house
    }

    /// The same directory under a new depot, as after a restart.
    async fn reopen(&mut self) {
        self.depot.close().await;
        // The old cache's lock goes with its last clone, which ended tasks may hold for a moment.
        let nowhere = tempfile::tempdir().unwrap();
        let old = std::mem::replace(&mut self.depot, depot(&nowhere, &self.asset, &self.settings, 1 << 20, self.stall));
        while Arc::strong_count(&old.shared) > 1 {
            tokio::task::yield_now().await;
        }
        drop(old);
        self.depot = depot(&self.dir, &self.asset, &self.settings, self.max_size, self.stall);
    }

    fn found(&self) -> Arc<Asset> {
        self.depot.find("disk.img").unwrap()
    }

    /// What a client that asks for `range` gets, and what it is told at the end.
    async fn get(&self, range: ByteRange) -> (Vec<u8>, Result<CacheState, ReadError>) {
        get(&self.depot, range).await
    }

    async fn get_all(&self) -> (Vec<u8>, Result<CacheState, ReadError>) {
        self.get(ByteRange::whole(u64::MAX)).await
    }

    /// Waits until no fill is under way.
    async fn settle(&self) {
        while !self.depot.fills().is_empty() {
            tokio::task::yield_now().await;
        }
    }

    fn blob_is_here(&self) -> bool {
        self.depot.shared.cache.size_of(&self.asset.digest).is_some()
    }

    fn part(&self, range: ByteRange) -> &[u8] {
        &self.data[usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap()]
    }
}

fn depot(dir: &tempfile::TempDir, asset: &Asset, settings: &FillSettings, max_size: u64, stall: Duration) -> Depot {
    let cache = Cache::open(CacheSettings { dir: dir.path().to_owned(), max_size, min_free: 0 }).unwrap();
    let timeouts = Timeouts { connect: Duration::from_secs(5), stall };
    let origins = Origins::new(Vec::new(), timeouts).unwrap();
    Depot::new(Catalog::new(vec![asset.clone()]).unwrap(), origins, cache, settings.clone())
}

async fn get(depot: &Depot, range: ByteRange) -> (Vec<u8>, Result<CacheState, ReadError>) {
    let asset = depot.find("disk.img").unwrap();
    let mut got = Vec::new();
    let stream = async { depot.read(&asset).await?.stream(range, Delivery::Copied).await };
    let mut stream = match stream.await {
        Ok(stream) => stream,
        Err(error) => return (got, Err(error)),
    };
    while let Some(piece) = stream.next().await {
        match piece {
            Ok(piece) => got.extend_from_slice(&piece),
            Err(error) => return (got, Err(error)),
        }
    }
    assert_eq!(stream.remaining(), 0);
    (got, Ok(stream.cache_state()))
}

fn block_list(data: &[u8], block_size: usize) -> String {
    let blocks: Vec<String> = data.chunks(block_size).map(|c| format!("\"{}\"", Digest::of(c))).collect();
    let (digest, size, blocks) = (Digest::of(data), data.len(), blocks.join(","));
    format!(r#"{{"version":1,"sha256":"{digest}","size":{size},"block_size":{block_size},"blocks":[{blocks}]}}"#)
}

/// Gives the house's asset a block list on its first shelf.
fn with_block_list(house: &mut House) {
    let list = block_list(&house.data, 100_000);
    house.asset.blocks =
        Some(BlocksSource { source: house.shelves[0].url("disk.img.blocks"), digest: Digest::of(list.as_bytes()) });
    house.shelves[0].put("disk.img.blocks", list.into_bytes());
}

#[tokio::test]
async fn a_cold_asset_is_filled_in_parts_and_then_served_from_the_cache() {
    let house = House::new(&[&[]]).await;
    let (got, end) = house.get_all().await;
    assert!(got == house.data);
    assert_eq!(end.unwrap(), CacheState::Miss);
    let requests = house.shelves[0].requests();
    assert_eq!(requests, SIZE.div_ceil(256 << 10), "one request a part");
    let (got, end) = house.get(ByteRange::new(1000, 2_000_000)).await;
    assert!(got == house.part(ByteRange::new(1000, 2_000_000)));
    assert_eq!(end.unwrap(), CacheState::Hit);
    assert_eq!(house.shelves[0].requests(), requests, "a hit asks nobody");
}

#[tokio::test]
async fn many_readers_at_once_make_one_fill() {
    let house = House::new(&[&[]]).await;
    let ends = futures_util::future::join_all((0..50).map(|_| house.get_all())).await;
    for (got, end) in ends {
        assert!(got == house.data);
        end.unwrap();
    }
    assert_eq!(house.shelves[0].sent("disk.img"), SIZE as u64, "every byte crossed once");
}

#[tokio::test]
async fn wrong_bytes_are_never_completed_and_are_remembered() {
    let house = House::new(&[&[Fault::Flip { at: 2_900_000 }]]).await;
    let (got, end) = house.get_all().await;
    assert!(got.len() < SIZE, "the tail never went out");
    let error = end.unwrap_err();
    assert_eq!(error.outcome(), Outcome::DigestMismatch);
    assert!(error.to_string().contains(&house.asset.digest.to_string()), "{error}");
    house.settle().await;
    assert!(!house.blob_is_here());
    let requests = house.shelves[0].requests();
    let (got, end) = house.get_all().await;
    assert!(got.is_empty() && end.unwrap_err().outcome() == Outcome::DigestMismatch);
    assert_eq!(house.shelves[0].requests(), requests, "asked again too soon");
}

#[tokio::test]
async fn the_next_source_makes_up_for_wrong_bytes() {
    let house = House::new(&[&[Fault::Flip { at: 10 }], &[]]).await;
    let (_, first) = house.get_all().await;
    // A reader that was given bytes of the wrong source is cut off; one that comes later gets the right ones.
    if let Err(error) = first {
        assert_eq!(error.outcome(), Outcome::DigestMismatch);
    }
    let (got, end) = house.get_all().await;
    end.unwrap();
    assert!(got == house.data);
}

#[tokio::test]
async fn with_release_whole_no_reader_sees_a_byte_of_a_wrong_source() {
    let house = House::with(&[&[Fault::Flip { at: 10 }], &[]], |h| h.settings.release = Release::Whole).await;
    let (got, end) = house.get_all().await;
    end.unwrap();
    assert!(got == house.data);
}

#[tokio::test]
async fn a_source_that_ignores_ranges_is_read_as_one_stream() {
    let house = House::new(&[&[Fault::IgnoreRange]]).await;
    let (got, end) = house.get(ByteRange::new(2_000_000, 2_500_000)).await;
    end.unwrap();
    assert!(got == house.part(ByteRange::new(2_000_000, 2_500_000)));
    house.settle().await;
    assert_eq!(house.shelves[0].requests(), 1);
}

#[tokio::test]
async fn cut_and_stalled_connections_are_taken_up_where_they_broke() {
    let faults = [Fault::CutAfter { bytes: 100_000, times: 5 }, Fault::StallAfter { bytes: 50_000, times: 2 }];
    let house = House::with(&[&faults], |h| h.stall = Duration::from_millis(300)).await;
    let (got, end) = house.get_all().await;
    end.unwrap();
    assert!(got == house.data);
}

#[tokio::test]
async fn an_object_that_changes_once_is_read_anew() {
    let house = House::new(&[&[Fault::ChangeAfter { requests: 3 }]]).await;
    let (got, end) = house.get_all().await;
    match end {
        Ok(_) => assert!(got == house.data),
        Err(error) => assert!(error.to_string().contains("changed while it was read"), "{error}"),
    }
    let (got, end) = house.get_all().await;
    end.unwrap();
    assert!(got == house.data);
}

#[tokio::test]
async fn an_object_that_keeps_changing_is_given_up() {
    let house = House::new(&[&[Fault::AlwaysChange]]).await;
    let error = house.get_all().await.1.unwrap_err();
    house.settle().await;
    let text = error.to_string();
    assert!(text.contains("keeps changing") || text.contains("changed while"), "{text}");
    assert!(!house.blob_is_here());
}

#[tokio::test]
async fn a_missing_object_is_not_found_and_costs_one_trip() {
    let house = House::new(&[&[Fault::Status(404)]]).await;
    for _ in 0..3 {
        assert_eq!(house.get_all().await.1.unwrap_err().outcome(), Outcome::NotFound);
        assert_eq!(house.depot.size(&house.found()).await.unwrap_err().outcome(), Outcome::NotFound);
    }
    assert_eq!(house.shelves[0].requests(), 1);
}

#[tokio::test]
async fn a_source_that_is_down_leaves_the_next_one() {
    let house = House::new(&[&[Fault::Status(500)], &[]]).await;
    let (got, end) = house.get_all().await;
    end.unwrap();
    assert!(got == house.data);
    assert_eq!(house.shelves[0].requests(), 3, "one try and two retries");
}

#[tokio::test]
async fn when_no_source_can_be_read_the_client_is_told_to_come_back() {
    let house = House::new(&[&[Fault::Status(403)], &[Fault::Status(500)]]).await;
    let error = house.get_all().await.1.unwrap_err();
    assert!(matches!(error, ReadError::Unavailable { .. }), "{error}");
    assert!(!error.public().contains("127.0.0.1"));
    house.shelves[1].heal();
    assert!(house.get_all().await.1.is_ok(), "an outage is not remembered");
}

#[tokio::test]
async fn a_wrong_length_is_wrong_bytes() {
    let house = House::with(&[&[]], |h| h.asset.size = Some(5)).await;
    let error = house.get_all().await.1.unwrap_err();
    assert_eq!(error.outcome(), Outcome::DigestMismatch);
    assert!(error.to_string().contains("it is 3000000 bytes long, 5 were expected"), "{error}");
}

#[tokio::test]
async fn a_size_is_known_from_one_request_and_begins_no_fill() {
    let house = House::new(&[&[]]).await;
    for _ in 0..3 {
        assert_eq!(house.depot.size(&house.found()).await.unwrap(), SIZE as u64);
    }
    assert_eq!(house.shelves[0].requests(), 1);
    assert!(house.depot.fills().is_empty());
}

#[tokio::test]
async fn an_empty_asset_is_an_asset() {
    let house = House::with(&[&[]], |h| {
        h.data.clear();
        h.asset.digest = Digest::of(b"");
        h.shelves[0].put("disk.img", Vec::new());
    })
    .await;
    let (got, end) = house.get_all().await;
    end.unwrap();
    assert!(got.is_empty());
    house.settle().await;
    assert!(house.blob_is_here());
}

#[tokio::test]
async fn with_a_block_list_a_cold_range_completes_before_the_rest_is_here() {
    let held = [Fault::HoldFrom { at: 1_000_000 }];
    let house = House::with(&[&held], |h| {
        with_block_list(h);
        h.settings.connections = 8;
    })
    .await;
    let range = ByteRange::new(450_000, 650_000);
    let (got, end) = house.get(range).await;
    end.unwrap();
    assert!(got == house.part(range));
    assert!(!house.blob_is_here(), "the rest is still being held");
    house.shelves[0].heal();
    let (got, end) = house.get_all().await;
    end.unwrap();
    assert!(got == house.data);
}

#[tokio::test]
async fn with_a_block_list_one_bad_block_is_asked_for_again_alone() {
    let house = House::with(&[&[Fault::FlipOnce { at: 1_234_567 }]], with_block_list).await;
    let (got, end) = house.get_all().await;
    end.unwrap();
    assert!(got == house.data);
    house.settle().await;
    assert!(house.blob_is_here());
    assert_eq!(house.shelves[0].sent("disk.img"), SIZE as u64 + 100_000);
}

#[tokio::test]
async fn with_a_block_list_no_wrong_byte_goes_out_at_all() {
    let house = House::with(&[&[Fault::Flip { at: 1_234_567 }]], with_block_list).await;
    let (got, end) = house.get_all().await;
    assert_eq!(end.unwrap_err().outcome(), Outcome::DigestMismatch);
    assert!(got.len() <= 1_200_000 && got == house.data[..got.len()]);
}

#[tokio::test]
async fn a_block_list_that_is_not_the_trusted_one_is_done_without() {
    let house = House::with(&[&[]], |h| {
        with_block_list(h);
        h.shelves[0].put("disk.img.blocks", b"{}".to_vec());
    })
    .await;
    let (got, end) = house.get_all().await;
    end.unwrap();
    assert!(got == house.data);
}

#[tokio::test]
async fn a_stopped_fill_goes_on_where_it_was() {
    let mut house = House::with(&[&[Fault::HoldFrom { at: 2_000_000 }]], |h| h.asset.size = Some(SIZE as u64)).await;
    let depot = house.depot.clone();
    let reading = tokio::spawn(async move { get(&depot, ByteRange::whole(SIZE as u64)).await });
    while house.shelves[0].sent("disk.img") < 1_900_000 {
        tokio::task::yield_now().await;
    }
    while !house.depot.fills().values().any(|fill| fill.board().written() >= 1_800_000) {
        tokio::task::yield_now().await;
    }
    house.depot.close().await;
    let (_, end) = reading.await.unwrap();
    assert!(matches!(end, Err(ReadError::Closing)));
    house.shelves[0].heal();
    house.reopen().await;
    let before = house.shelves[0].sent("disk.img");
    let (got, end) = house.get_all().await;
    end.unwrap();
    assert!(got == house.data);
    assert!(house.shelves[0].sent("disk.img") - before < 1_700_000, "whole parts were not asked for again");
}

#[tokio::test]
async fn what_an_earlier_run_left_is_proven_anew() {
    let mut house = House::with(&[&[Fault::HoldFrom { at: 2_000_000 }]], |h| h.asset.size = Some(SIZE as u64)).await;
    let depot = house.depot.clone();
    tokio::spawn(async move { get(&depot, ByteRange::whole(SIZE as u64)).await });
    while !house.depot.fills().values().any(|fill| fill.board().written() >= 1_800_000) {
        tokio::task::yield_now().await;
    }
    house.depot.close().await;
    // The disk lies: a byte of the partial is not what was written.
    let partial = house.dir.path().join("partial").join(house.asset.digest.to_string());
    let mut data = std::fs::read(&partial).unwrap();
    data[77] ^= 1;
    std::fs::write(&partial, data).unwrap();
    house.shelves[0].heal();
    house.reopen().await;
    let (_, first) = house.get_all().await;
    if let Err(error) = first {
        assert_eq!(error.outcome(), Outcome::DigestMismatch, "the reader had been given bytes of the lying disk");
    }
    let (got, end) = house.get_all().await;
    end.unwrap();
    assert!(got == house.data, "the source was not blamed for the disk's fault");
}

#[tokio::test]
async fn an_asset_larger_than_the_cache_streams_through_proven() {
    let mut house = House::with(&[&[]], |h| h.max_size = 1 << 20).await;
    for size in [None, Some(SIZE as u64)] {
        house.asset.size = size;
        house.reopen().await;
        let (got, end) = house.get_all().await;
        assert_eq!(end.unwrap(), CacheState::Bypass);
        assert!(got == house.data);
        let range = ByteRange::new(2_345_678, 2_345_999);
        let (got, end) = house.get(range).await;
        end.unwrap();
        assert!(got == house.part(range));
    }
}

#[tokio::test]
async fn around_the_cache_wrong_bytes_are_not_completed_either() {
    let house = House::with(&[&[Fault::Flip { at: 2_999_999 }]], |h| h.max_size = 1 << 20).await;
    let (got, end) = house.get_all().await;
    assert!(got.len() as u64 <= SIZE as u64 - board::TAIL);
    assert_eq!(end.unwrap_err().outcome(), Outcome::DigestMismatch);
    let house = House::with(&[&[Fault::Flip { at: 10 }], &[]], |h| h.max_size = 1 << 20).await;
    let range = ByteRange::new(2_999_000, 3_000_000);
    let (got, end) = house.get(range).await;
    end.unwrap();
    assert!(got == house.part(range), "nothing had gone out, so the next source took over");
}

#[tokio::test]
async fn around_the_cache_a_block_list_makes_ranges_cheap() {
    let house = House::with(&[&[]], |h| {
        with_block_list(h);
        h.max_size = 1 << 20;
    })
    .await;
    let range = ByteRange::new(2_345_678, 2_545_999);
    let (got, end) = house.get(range).await;
    assert_eq!(end.unwrap(), CacheState::Bypass);
    assert!(got == house.part(range));
    assert!(house.shelves[0].sent("disk.img") < 1_000_000);
}

#[tokio::test]
async fn a_file_source_needs_no_network() {
    let held = tempfile::tempdir().unwrap();
    let path = held.path().join("disk.img");
    let house = House::with(&[], |h| {
        std::fs::write(&path, &h.data).unwrap();
        let url: SourceUrl = format!("file://{}", path.display()).parse().unwrap();
        h.asset.sources = vec![url];
    })
    .await;
    let (got, end) = house.get_all().await;
    end.unwrap();
    assert!(got == house.data);
}

/// Block 0 is proven from the first source, then the second one, which ignores ranges, writes
/// its wrong byte 10 over it, and a reader is given that byte as proven, with a clean end.
#[tokio::test]
async fn a_stream_does_not_write_over_proven_blocks() {
    let stream = [Fault::IgnoreRange, Fault::Flip { at: 10 }, Fault::HoldFrom { at: 1_500_000 }];
    let house = House::with(&[&[Fault::HoldFrom { at: 700_000 }], &stream], |h| {
        with_block_list(h);
        h.settings.connections = 1;
    })
    .await;
    let range = ByteRange::new(0, 100);
    let (got, end) = house.get(range).await;
    end.unwrap();
    assert!(got == house.part(range), "from the first source");
    house.shelves[0].turn(&[Fault::Status(403)]);
    while !house.depot.fills().values().any(|fill| fill.board().written() >= 1_400_000) {
        tokio::task::yield_now().await;
    }
    let (got, end) = house.get(range).await;
    end.unwrap();
    assert!(got == house.part(range), "proven bytes stay what they were");
}

/// What the hash has passed is written over, and the cache keeps a blob that is not its
/// digest. The pause only gives the hash time to pass the front; right code needs no time.
#[tokio::test]
async fn a_stream_does_not_write_over_what_the_hash_has_passed() {
    let stream = [Fault::IgnoreRange, Fault::Flip { at: 10 }, Fault::HoldFrom { at: 0 }];
    let house = House::with(&[&[Fault::HoldFrom { at: 700_000 }], &stream], |h| h.settings.connections = 1).await;
    let depot = house.depot.clone();
    let reading = tokio::spawn(async move { get(&depot, ByteRange::whole(u64::MAX)).await });
    while !house.depot.fills().values().any(|fill| fill.board().written() >= 600_000) {
        tokio::task::yield_now().await;
    }
    house.shelves[0].turn(&[Fault::Status(403)]);
    while house.shelves[1].requests() == 0 {
        tokio::task::yield_now().await;
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    house.shelves[1].heal();
    let _ = reading.await.unwrap();
    house.settle().await;
    if house.blob_is_here() {
        let (got, end) = house.get_all().await;
        end.unwrap();
        assert!(got == house.data, "what the cache holds is its digest");
    }
}

#[tokio::test]
async fn an_asset_is_not_cut_to_the_length_that_another_object_had() {
    let house = House::with(&[&[]], |h| h.shelves[0].put("disk.img", b"short".to_vec())).await;
    assert_eq!(house.depot.size(&house.found()).await.unwrap(), 5, "the upload is not done yet");
    house.shelves[0].put("disk.img", house.data.clone());
    let (got, end) = house.get_all().await;
    assert!(end.is_err() || got == house.data, "{} bytes were completed", got.len());
    house.settle().await;
    let (got, end) = house.get_all().await;
    end.unwrap();
    assert!(got == house.data);
}

#[tokio::test]
async fn wrong_bytes_of_another_length_leave_the_next_source() {
    let house = House::with(&[&[], &[]], |h| h.shelves[0].put("disk.img", b"<html>sorry</html>".to_vec())).await;
    // A reader that was told the wrong length is cut off; one that comes later gets the right bytes.
    let (got, end) = house.get_all().await;
    assert!(end.is_err() || got == house.data);
    house.settle().await;
    let (got, end) = house.get_all().await;
    end.unwrap();
    assert!(got == house.data);
}

/// EIO, EMFILE, EACCES; here ELOOP.
#[tokio::test]
async fn a_blob_that_cannot_be_opened_is_answered() {
    let mut house = House::new(&[&[]]).await;
    house.get_all().await.1.unwrap();
    house.settle().await;
    house.reopen().await;
    let hex = house.asset.digest.to_string();
    let path = house.dir.path().join("blobs/sha256").join(&hex[..2]).join(&hex);
    std::fs::remove_file(&path).unwrap();
    std::os::unix::fs::symlink(&path, &path).unwrap();
    // Not a matter of time: it never ends.
    let ended = tokio::time::timeout(Duration::from_secs(30), house.get_all()).await;
    let (got, end) = ended.expect("an answer, whichever");
    assert!(end.is_err() || got == house.data);
}

#[tokio::test]
async fn a_size_is_told_while_the_fill_waits_for_its_turn() {
    let house = House::with(&[&[Fault::HoldFrom { at: 0 }]], |h| h.settings.max_fills = 1).await;
    let depot = house.depot.clone();
    let _slot = depot.shared.slots.acquire().await.unwrap();
    let waiting = house.depot.clone();
    tokio::spawn(async move { get(&waiting, ByteRange::whole(u64::MAX)).await });
    while house.depot.fills().is_empty() {
        tokio::task::yield_now().await;
    }
    assert_eq!(house.depot.size(&house.found()).await.unwrap(), SIZE as u64);
}

#[tokio::test]
async fn an_answer_that_ignores_the_range_among_others_is_no_other_object() {
    let house = House::new(&[&[Fault::IgnoreRangeOnce { after: 3 }]]).await;
    let (got, end) = house.get_all().await;
    end.unwrap();
    assert!(got == house.data);
}
