//! The depot: the one service that the front ends know. It finds a name in the catalog, opens its bytes from the cache
//! or from a fill under way, and streams them. It knows no protocol.
//!
//! A front end asks in steps, each of which costs no more than it must: [`Depot::find`] (memory only), [`Depot::size`]
//! (what is known, else one request to the origin), [`Depot::read`], and [`Reader::stream`], which begins or joins the
//! fill of what is not here yet.

mod board;
mod bypass;
mod crew;
mod drive;
mod error;
mod fetch;
mod fill;
mod hashing;
mod ranges;
mod settings;
mod stream;
#[cfg(test)]
mod tests;
mod transfer;
mod verdict;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_core::future::BoxFuture;
use futures_util::StreamExt as _;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::warn;

pub use error::ReadError;
pub use fill::FillOutcome;
pub use settings::{Delivery, FillSettings, Release};
pub use stream::ByteStream;
pub use transfer::{CacheState, Outcome, Protocol, Transfer};

use self::bypass::Bypass;
use self::drive::Driver;
use self::fetch::Fetch;
use self::fill::{Fill, Phase};
use self::hashing::blocking;
use self::stream::Terms;
use self::verdict::SourceFailures;
use crate::asset::{AssetName, BlockList, ByteRange, Digest, SourceUrl};
use crate::cache::{Cache, Entry};
use crate::catalog::{Asset, Catalog};
use crate::origin::Origins;

/// Blobs up to this size are kept in memory once they are asked for: boot scripts, NBPs' configuration, grub.cfg.
const HOT_BLOB: u64 = 64 << 10;
/// Memory for such blobs.
const HOT_TOTAL: u64 = 64 << 20;
/// Sizes and failures that are remembered: more names than a catalog has.
const REMEMBERED: u64 = 100_000;
/// How long to go around the cache before room for a blob is looked for again.
const ROOM_AGAIN: Duration = Duration::from_secs(10);
/// Block lists that are kept in memory for streams around the cache; one may be some 30 MiB.
const BLOCK_LISTS: u64 = 16;
/// How long a fill waits for its block list before it goes on without: a machine waits for the fill.
const LIST_PATIENCE: Duration = Duration::from_secs(5);
/// The longest block list that is read: 64 MiB name about a million blocks, 4 TiB in blocks of 4 MiB.
const LONGEST_BLOCK_LIST: u64 = 64 << 20;

/// The depot. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct Depot {
    shared: Arc<Shared>,
}

struct Shared {
    catalog: Catalog,
    origins: Origins,
    cache: Cache,
    settings: FillSettings,
    fills: Mutex<HashMap<Digest, Arc<Fill>>>,
    /// One permit a fill at work, and one a stream around the cache.
    slots: Arc<Semaphore>,
    bypasses: Arc<Semaphore>,
    hot: moka::sync::Cache<Digest, Bytes>,
    sizes: moka::future::Cache<Digest, u64>,
    failed: moka::sync::Cache<Digest, ReadError>,
    lists: moka::sync::Cache<Digest, Option<Arc<BlockList>>>,
    /// Blobs for which there was no room a moment ago.
    unstored: moka::sync::Cache<Digest, ()>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

/// An asset opened for reading: its size is known, and its bytes are here or can be asked for.
pub struct Reader {
    depot: Depot,
    asset: Arc<Asset>,
    size: u64,
    /// The blob, where it is here.
    entry: Option<Entry>,
    /// Opening it began the fill.
    began: bool,
}

impl Depot {
    /// A depot of this catalog over these origins and this cache.
    pub fn new(catalog: Catalog, origins: Origins, cache: Cache, settings: FillSettings) -> Self {
        for asset in catalog.assets().filter(|asset| asset.pin) {
            cache.pin(&asset.digest);
            if let Some(blocks) = &asset.blocks {
                cache.pin(&blocks.digest);
            }
        }
        metrics::gauge!("bootdepot_catalog_assets").set(u32::try_from(catalog.len()).unwrap_or(u32::MAX));
        let weight = |_: &Digest, bytes: &Bytes| u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        let failed = moka::sync::Cache::builder().max_capacity(REMEMBERED).time_to_live(settings.negative_ttl);
        // What an unproven object said of its length is believed no longer than that one was missing.
        let sizes = moka::future::Cache::builder().max_capacity(REMEMBERED).time_to_live(settings.negative_ttl);
        let lists = moka::sync::Cache::builder().max_capacity(BLOCK_LISTS).time_to_live(settings.negative_ttl);
        let shared = Shared {
            catalog,
            origins,
            cache,
            fills: Mutex::default(),
            slots: Arc::new(Semaphore::new(settings.max_fills.max(1))),
            bypasses: Arc::new(Semaphore::new(settings.max_fills.max(1).saturating_mul(settings.connections.max(1)))),
            hot: moka::sync::Cache::builder().max_capacity(HOT_TOTAL).weigher(weight).build(),
            sizes: sizes.build(),
            failed: failed.build(),
            lists: lists.build(),
            unstored: moka::sync::Cache::builder().max_capacity(REMEMBERED).time_to_live(ROOM_AGAIN).build(),
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
            settings,
        };
        Self { shared: Arc::new(shared) }
    }

    /// The asset of this name, if the catalog has it. Memory only.
    pub fn find(&self, name: &str) -> Option<Arc<Asset>> {
        self.shared.catalog.by_name(name).cloned()
    }

    /// An asset with this digest, if the catalog has it. Memory only.
    pub fn find_digest(&self, digest: &Digest) -> Option<Arc<Asset>> {
        self.shared.catalog.by_digest(digest).first().cloned()
    }

    /// The asset's size in bytes: from the cache, the catalog or memory at once, else by one request to its origin,
    /// which begins no fill.
    pub async fn size(&self, asset: &Arc<Asset>) -> Result<u64, ReadError> {
        let shared = &self.shared;
        if let Some(size) = shared.cache.size_of(&asset.digest).or(asset.size) {
            return Ok(size);
        }
        if let Some(error) = shared.failed.get(&asset.digest) {
            return Err(error);
        }
        let under_way = self.fills().get(&asset.digest).map(|fill| fill.phase());
        match under_way {
            Some(Phase::Filling(partial)) => return Ok(partial.size()),
            Some(Phase::Complete(entry)) => return Ok(entry.size()),
            // A fill may have to wait for others before it learns the size itself.
            _ => {}
        }
        // Boxed: inline it would be 6 KiB of every request's future, which is moved around for each request.
        let asked = Box::pin(shared.sizes.try_get_with(asset.digest, self.ask_size(asset))).await;
        asked.map_err(|error| self.remember(asset.digest, ReadError::clone(&error)))
    }

    async fn ask_size(&self, asset: &Asset) -> Result<u64, ReadError> {
        let mut failures = SourceFailures::default();
        for source in &self.sources(asset) {
            let retries = self.shared.settings.retries;
            match Fetch::open(&self.shared.origins, source, ByteRange::new(0, 1), None, retries).await {
                Ok(fetch) => return Ok(fetch.total()),
                Err(error) => failures.origin(&error),
            }
        }
        Err(failures.verdict().1)
    }

    /// Where the asset may be fetched: its own sources, and those of others with the same bytes.
    fn sources(&self, asset: &Asset) -> Vec<SourceUrl> {
        let mut sources = asset.sources.clone();
        for source in self.shared.catalog.by_digest(&asset.digest).iter().flat_map(|same| &same.sources) {
            if !sources.contains(source) {
                sources.push(source.clone());
            }
        }
        sources
    }

    /// Opens the asset for reading; returns when its size is known.
    ///
    /// Where the size is not known without the origin, this begins the fill: its first reply tells.
    pub async fn read(&self, asset: &Arc<Asset>) -> Result<Reader, ReadError> {
        let reader = |size, entry| Reader { depot: self.clone(), asset: Arc::clone(asset), size, entry, began: false };
        loop {
            match self.look(&asset.digest).await {
                Found::Blob(entry) => return Ok(reader(entry.size(), Some(entry))),
                Found::Unreadable(size) => return Ok(reader(size, None)),
                Found::Nothing => {}
            }
            if let Some(error) = self.shared.failed.get(&asset.digest) {
                return Err(error);
            }
            let known = match asset.size {
                Some(size) => Some(size),
                None => self.shared.sizes.get(&asset.digest).await,
            };
            if let Some(size) = known {
                return Ok(reader(size, None));
            }
            let Some((fill, state)) = self.join(asset)? else { continue };
            let size = match fill.begun().await {
                Phase::Filling(partial) => partial.size(),
                Phase::Complete(entry) => entry.size(),
                Phase::Starting | Phase::Unstored(_) => self.size(asset).await?,
                Phase::Failed(error) => return Err(error),
            };
            self.shared.sizes.insert(asset.digest, size).await;
            return Ok(Reader { began: state == CacheState::Miss, ..reader(size, None) });
        }
    }

    /// Looks for a blob in the cache.
    async fn look(&self, digest: &Digest) -> Found {
        let cache = &self.shared.cache;
        if let Some(entry) = cache.opened(digest) {
            return Found::Blob(entry);
        }
        if cache.size_of(digest).is_none() {
            return Found::Nothing;
        }
        let (opening, key) = (cache.clone(), *digest);
        match (blocking(move || opening.get(&key)).await, cache.size_of(digest)) {
            (Some(entry), _) => Found::Blob(entry),
            (None, Some(size)) => Found::Unreadable(size),
            (None, None) => Found::Nothing,
        }
    }

    fn fills(&self) -> MutexGuard<'_, HashMap<Digest, Arc<Fill>>> {
        self.shared.fills.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The fill of this asset: the one under way, else a new one. `None` when the blob has come meanwhile.
    fn join(&self, asset: &Arc<Asset>) -> Result<Option<(Arc<Fill>, CacheState)>, ReadError> {
        let shared = &self.shared;
        let mut fills = self.fills();
        if let Some(fill) = fills.get(&asset.digest) {
            return Ok(Some((Arc::clone(fill), CacheState::Join)));
        }
        // A fill that ended well leaves the map only when its blob is in the cache.
        if shared.cache.size_of(&asset.digest).is_some() {
            return Ok(None);
        }
        if shared.stop.is_cancelled() {
            return Err(ReadError::Closing);
        }
        let fill = Arc::new(Fill::new(Arc::clone(asset)));
        fills.insert(asset.digest, Arc::clone(&fill));
        drop(fills);
        let driver = Driver {
            fill: Arc::clone(&fill),
            sources: self.sources(asset),
            origins: shared.origins.clone(),
            cache: shared.cache.clone(),
            settings: shared.settings.clone(),
            slots: Arc::clone(&shared.slots),
            stop: shared.stop.clone(),
        };
        let listed = Listed { depot: self.clone(), fill: Arc::clone(&fill) };
        shared.tasks.spawn(async move {
            let blocks = listed.depot.clone().block_list(Arc::clone(listed.fill.asset()));
            driver.run(blocks).await;
            drop(listed);
        });
        Ok(Some((fill, CacheState::Miss)))
    }

    /// Keeps an error that asking again soon will not mend.
    fn remember(&self, digest: Digest, error: ReadError) -> ReadError {
        if matches!(error, ReadError::NotFound(_) | ReadError::WrongBytes(_)) {
            self.shared.failed.insert(digest, error.clone());
        }
        error
    }

    /// The asset's block list, if it has one that can be had. It is an asset of its own, with its digest in the catalog,
    /// and so it goes through the cache like any other.
    fn block_list(self, asset: Arc<Asset>) -> BoxFuture<'static, Option<Arc<BlockList>>> {
        Box::pin(async move {
            let source = asset.blocks.as_ref()?;
            if let Some(remembered) = self.shared.lists.get(&source.digest) {
                return remembered;
            }
            let fetching = tokio::time::timeout(LIST_PATIENCE, self.fetch_block_list(&asset, source));
            let list = match fetching.await {
                Ok(Ok(bytes)) => {
                    let (trusted, digest) = (source.digest, asset.digest);
                    let parsed = blocking(move || BlockList::parse(&bytes, &trusted, &digest)).await;
                    parsed.map_err(|error| error.to_string())
                }
                Ok(Err(error)) => Err(error.to_string()),
                Err(_) => Err(format!("it did not come within {} s", LIST_PATIENCE.as_secs())),
            };
            let list = list.map(Arc::new).inspect_err(|reason| {
                warn!(asset = %asset.name, source = %source.source, reason, "going on without the block list");
            });
            let list = list.ok();
            self.shared.lists.insert(source.digest, list.clone());
            list
        })
    }

    async fn fetch_block_list(&self, asset: &Asset, list: &crate::catalog::BlocksSource) -> Result<Bytes, ReadError> {
        // Only the log shows this name; one that is too long by it stays the asset's.
        let name = AssetName::parse(&format!("{}.blocks", asset.name)).unwrap_or_else(|_| asset.name.clone());
        let list = Asset {
            name,
            digest: list.digest,
            sources: vec![list.source.clone()],
            size: None,
            content_type: "application/json".into(),
            pin: false,
            blocks: None,
            since: asset.since,
        };
        let reader = self.read(&Arc::new(list)).await?;
        if reader.size() > LONGEST_BLOCK_LIST {
            return Err(ReadError::WrongBytes(format!("the block list is {} bytes long", reader.size())));
        }
        let mut stream = reader.stream(ByteRange::whole(reader.size()), Delivery::Copied).await?;
        let mut bytes = BytesMut::new();
        while let Some(piece) = stream.next().await {
            bytes.extend_from_slice(&piece?);
        }
        Ok(bytes.freeze())
    }

    /// A small blob's bytes, in memory from its first use on.
    async fn hot(&self, entry: &Entry) -> Result<Bytes, ReadError> {
        if let Some(bytes) = self.shared.hot.get(entry.digest()) {
            return Ok(bytes);
        }
        let whole = ByteRange::whole(entry.size());
        let read = if let Some(bytes) = entry.read_resident(whole) {
            Ok(bytes)
        } else {
            let entry = entry.clone();
            blocking(move || entry.read(whole)).await
        };
        let bytes = read.map_err(|error| ReadError::Disk(error.to_string()))?;
        self.shared.hot.insert(*entry.digest(), bytes.clone());
        Ok(bytes)
    }

    /// What stands in the way of being ready, a sentence each; empty when nothing does.
    pub fn troubles(&self) -> Vec<String> {
        self.shared.cache.writable().err().into_iter().collect()
    }

    /// Ends all fills, keeping what they have for a later resume. Readers of fills under way end in an error.
    pub async fn close(&self) {
        self.shared.stop.cancel();
        self.shared.tasks.close();
        self.shared.tasks.wait().await;
    }

    /// How long a client that was refused for now should wait.
    pub fn retry_after(&self) -> Duration {
        verdict::ASK_AGAIN
    }
}

/// What the cache has of a digest.
enum Found {
    Blob(Entry),
    /// A blob of this size, which the disk does not let us open.
    Unreadable(u64),
    Nothing,
}

/// A fill's place in the depot's list, left when its task ends, in whichever way.
struct Listed {
    depot: Depot,
    fill: Arc<Fill>,
}

impl Drop for Listed {
    fn drop(&mut self) {
        let asset = self.fill.asset();
        match self.fill.phase() {
            Phase::Failed(error) => drop(self.depot.remember(asset.digest, error)),
            Phase::Unstored(_) => self.depot.shared.unstored.insert(asset.digest, ()),
            _ => {}
        }
        self.depot.fills().remove(&asset.digest);
    }
}

impl Reader {
    /// The asset's size in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Streams `range` (cut to the asset's size). Returns when the first piece is there to be sent, so an asset that
    /// cannot be had fails here, before a front end has said that all is well.
    ///
    /// Begins or joins the fill of an asset that is not here; the range's parts move to the front of its queue.
    pub async fn stream(&self, range: ByteRange, delivery: Delivery) -> Result<ByteStream, ReadError> {
        let range = range.intersect(&ByteRange::whole(self.size));
        let stream = self.open_stream(range, delivery).await;
        if stream.is_err() {
            // It may be the size that was wrong: it is not said again without being asked for anew.
            self.depot.shared.sizes.invalidate(&self.asset.digest).await;
        }
        stream
    }

    async fn open_stream(&self, range: ByteRange, delivery: Delivery) -> Result<ByteStream, ReadError> {
        let terms = Terms { size: self.size, delivery, release: self.depot.shared.settings.release };
        loop {
            // What was filled since the asset was opened is here now.
            let found = match &self.entry {
                Some(entry) => Found::Blob(entry.clone()),
                None => self.depot.look(&self.asset.digest).await,
            };
            if let Found::Blob(entry) = found {
                terms.hold(entry.size())?;
                let state = if self.began { CacheState::Miss } else { CacheState::Hit };
                return self.blob_stream(entry, range, delivery, state).await;
            }
            let bypass = self.bypass(range);
            let unreadable = matches!(found, Found::Unreadable(_));
            if unreadable || self.depot.shared.unstored.contains_key(&self.asset.digest) {
                return ByteStream::bypass(bypass.await, range.len()).await;
            }
            if let Some((fill, state)) = self.depot.join(&self.asset)? {
                let state = if self.began { CacheState::Miss } else { state };
                return ByteStream::fill(fill, range, terms, state, bypass).await;
            }
        }
    }

    async fn blob_stream(
        &self,
        entry: Entry,
        range: ByteRange,
        delivery: Delivery,
        state: CacheState,
    ) -> Result<ByteStream, ReadError> {
        if entry.size() > HOT_BLOB {
            return Ok(ByteStream::blob(entry, range, delivery, state));
        }
        let bytes = self.depot.hot(&entry).await?;
        // Cut to the size above, which is at most `HOT_BLOB`.
        let at = |offset: u64| usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
        Ok(ByteStream::ready(bytes.slice(at(range.start)..at(range.end)), state))
    }

    /// The way around the cache, should it be needed.
    fn bypass(&self, range: ByteRange) -> BoxFuture<'static, Bypass> {
        let (depot, asset, size) = (self.depot.clone(), Arc::clone(&self.asset), self.size);
        Box::pin(async move {
            let blocks = depot.clone().block_list(Arc::clone(&asset)).await;
            // The semaphore is never closed.
            let slot = Arc::clone(&depot.shared.bypasses).acquire_owned().await.ok();
            Bypass {
                sources: depot.sources(&asset).into(),
                origins: depot.shared.origins.clone(),
                retries: depot.shared.settings.retries,
                blocks: blocks.filter(|list| list.size() == size),
                failures: SourceFailures::default(),
                run: None,
                asset,
                range,
                size,
                slot,
            }
        })
    }
}
