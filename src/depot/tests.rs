//! The depot with a real cache directory and an HTTP origin in this process, whose faults each test chooses.

mod activity;
mod blocks;
mod bypass;
mod html_page;
mod interest;
mod ladder;
pub(crate) mod origin;
mod preload;
mod reconfigure;
mod resume;
mod slow;
mod sources;
mod storage;
mod unreadable;
mod unverified;

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;

use self::origin::{FakeOrigin, Fault};
use super::*;
use crate::asset::{AssetName, ByteRange, Digest, SourceUrl};
use crate::cache::{Cache, CacheSettings};
use crate::catalog::{Asset, Catalog};
use crate::fault_points::FaultPoints;
use crate::origin::{Origins, Timeouts};

const SIZE: usize = 3_000_000;

/// Waits until `condition` holds. Panics after many short sleeps, which take longer on a busy machine.
pub(crate) async fn wait_until(mut condition: impl FnMut() -> bool) {
    for attempt in 0..40_000 {
        if condition() {
            return;
        }
        if attempt < 10_000 {
            tokio::task::yield_now().await;
        } else {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    panic!("the condition was not met in time");
}

fn bytes(seed: u8) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(u64::from(seed));
    std::iter::repeat_with(|| random.u8(..)).take(SIZE).collect()
}

/// A depot in a directory of its own, and the origins of its only asset `disk.img`.
struct TestDepot {
    depot: Depot,
    dir: tempfile::TempDir,
    origins: Vec<FakeOrigin>,
    data: Vec<u8>,
    asset: Asset,
    settings: FillSettings,
    max_size: u64,
    stall: Duration,
    /// The fault points of the cache, from the next [`TestDepot::reopen`] on.
    faults: FaultPoints,
}

impl TestDepot {
    /// A depot whose asset has one source for each list of faults.
    async fn new(faults: &[&[Fault]]) -> Self {
        Self::with(faults, |_| {}).await
    }

    async fn with(faults: &[&[Fault]], change: impl FnOnce(&mut TestDepot)) -> Self {
        let data = bytes(1);
        let mut origins = Vec::new();
        for faults in faults {
            origins.push(FakeOrigin::start(data.clone(), faults).await);
        }
        let sources = origins.iter().map(|origin| origin.url("disk.img")).collect();
        let asset = Asset::new(AssetName::parse("disk.img").unwrap(), Digest::of(&data), sources);
        let settings = FillSettings {
            part_size: 256 << 10,
            connections: 4,
            retries: 2,
            negative_ttl: Duration::from_hours(1),
            ..FillSettings::default()
        };
        let dir = tempfile::tempdir().unwrap();
        let (max_size, stall) = (1 << 30, Duration::from_mins(1));
        let faults = FaultPoints::default();
        let depot = depot(&dir, &asset, &settings, max_size, stall, &faults);
        let mut test = Self { depot, dir, origins, data, asset, settings, max_size, stall, faults };
        change(&mut test);
        test.reopen().await;
        test
    }

    /// The same directory under a new depot, as after a restart.
    async fn reopen(&mut self) {
        self.depot.close().await;
        // The last clone of the old cache releases its lock; tasks that have ended may hold a clone a little longer.
        let unused = tempfile::tempdir().unwrap();
        let other = depot(&unused, &self.asset, &self.settings, 1 << 20, self.stall, &FaultPoints::default());
        let old = std::mem::replace(&mut self.depot, other);
        wait_until(|| Arc::strong_count(&old.shared) == 1).await;
        drop(old);
        self.depot = depot(&self.dir, &self.asset, &self.settings, self.max_size, self.stall, &self.faults);
    }

    fn found(&self) -> Arc<Asset> {
        self.depot.find("disk.img").unwrap()
    }

    /// Reads `range` as a client: the bytes received, and the end of the stream.
    async fn get(&self, range: ByteRange) -> (Vec<u8>, Result<CacheState, ReadError>) {
        get(&self.depot, range).await
    }

    async fn get_all(&self) -> (Vec<u8>, Result<CacheState, ReadError>) {
        self.get(ByteRange::whole(u64::MAX)).await
    }

    /// Waits until no fill is active.
    async fn wait_for_fills(&self) {
        wait_until(|| self.depot.active_fills().is_empty()).await;
    }

    fn is_cached(&self) -> bool {
        self.depot.shared.cache.size_of(&self.asset.digest).is_some()
    }

    fn part(&self, range: ByteRange) -> &[u8] {
        &self.data[usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap()]
    }
}

fn depot(
    dir: &tempfile::TempDir,
    asset: &Asset,
    settings: &FillSettings,
    max_size: u64,
    stall: Duration,
    faults: &FaultPoints,
) -> Depot {
    let cache_settings =
        CacheSettings { dir: dir.path().to_owned(), max_size, min_free: 0, seal: crate::cache::SealPolicy::Off };
    let cache = Cache::open_with(cache_settings, faults.clone()).unwrap();
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
            Ok(piece) => got.extend_from_slice(&piece.read().unwrap()),
            Err(error) => return (got, Err(error)),
        }
    }
    assert_eq!(stream.remaining(), 0);
    (got, Ok(stream.cache_state()))
}

#[tokio::test]
async fn cold_read_fills_then_hits() {
    let test = TestDepot::new(&[&[]]).await;
    let (got, end) = test.get_all().await;
    assert!(got == test.data);
    assert_eq!(end.unwrap(), CacheState::Miss);
    let requests = test.origins[0].requests();
    assert_eq!(requests, SIZE.div_ceil(256 << 10), "one request per part");
    let (got, end) = test.get(ByteRange::new(1000, 2_000_000)).await;
    assert!(got == test.part(ByteRange::new(1000, 2_000_000)));
    assert_eq!(end.unwrap(), CacheState::Hit);
    assert_eq!(test.origins[0].requests(), requests, "a hit sends no request");
}

#[tokio::test]
async fn copied_frames_have_fixed_size() {
    let test = TestDepot::new(&[&[]]).await;
    test.get_all().await.1.unwrap();
    test.wait_for_fills().await;
    let reader = test.depot.read(&test.found()).await.unwrap();
    let stream = reader.stream(ByteRange::new(1000, 600_000), Delivery::Copied).await.unwrap();
    let frames: Vec<usize> = stream.map(|frame| frame.unwrap().len()).collect().await;
    assert_eq!(frames, [262_144, 262_144, 600_000 - 1000 - 2 * 262_144]);
}

#[tokio::test]
async fn concurrent_readers_share_one_fill() {
    let test = TestDepot::new(&[&[]]).await;
    let ends = futures_util::future::join_all((0..50).map(|_| test.get_all())).await;
    for (got, end) in ends {
        assert!(got == test.data);
        end.unwrap();
    }
    assert_eq!(test.origins[0].sent("disk.img"), SIZE as u64, "every byte is sent once");
}

#[tokio::test]
async fn size_request_starts_no_fill() {
    let test = TestDepot::new(&[&[]]).await;
    for _ in 0..3 {
        assert_eq!(test.depot.size(&test.found()).await.unwrap(), SIZE as u64);
    }
    assert_eq!(test.origins[0].requests(), 1);
    assert!(test.depot.active_fills().is_empty());
}

#[tokio::test]
async fn empty_asset_is_filled() {
    let test = TestDepot::with(&[&[]], |h| {
        h.data.clear();
        h.asset.digest = Digest::of(b"");
        h.origins[0].put("disk.img", Vec::new());
    })
    .await;
    let (got, end) = test.get_all().await;
    end.unwrap();
    assert!(got.is_empty());
    test.wait_for_fills().await;
    assert!(test.is_cached());
}

#[tokio::test]
async fn file_source_is_filled() {
    let held = tempfile::tempdir().unwrap();
    let path = held.path().join("disk.img");
    let test = TestDepot::with(&[], |h| {
        std::fs::write(&path, &h.data).unwrap();
        let url: SourceUrl = format!("file://{}", path.display()).parse().unwrap();
        h.asset.sources = vec![url];
    })
    .await;
    let (got, end) = test.get_all().await;
    end.unwrap();
    assert!(got == test.data);
}

#[tokio::test]
async fn unreadable_blob_is_bypassed() {
    let mut test = TestDepot::new(&[&[]]).await;
    test.get_all().await.1.unwrap();
    test.wait_for_fills().await;
    test.faults = FaultPoints::with_hook(|action, _| match action {
        "open" => Err(std::io::Error::from_raw_os_error(libc::EMFILE)),
        _ => Ok(()),
    });
    test.reopen().await;
    // A broken depot would retry for ever.
    let ended = tokio::time::timeout(Duration::from_mins(2), test.get_all()).await;
    let (got, end) = ended.expect("the read ends");
    assert_eq!(end.unwrap(), CacheState::Bypass);
    assert!(got == test.data);
}

#[tokio::test]
async fn size_is_known_while_fill_waits() {
    let test = TestDepot::with(&[&[Fault::HoldFrom { at: 0 }]], |h| h.settings.max_fills = 1).await;
    let depot = test.depot.clone();
    let snapshot = depot.snapshot();
    let _slot = snapshot.fill_permits.acquire().await.unwrap();
    let waiting = test.depot.clone();
    tokio::spawn(async move { get(&waiting, ByteRange::whole(u64::MAX)).await });
    wait_until(|| !test.depot.active_fills().is_empty()).await;
    assert_eq!(test.depot.size(&test.found()).await.unwrap(), SIZE as u64);
}
