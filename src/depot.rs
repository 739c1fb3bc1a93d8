//! The depot: the one service that the front ends know. It finds a name in the catalog, opens its bytes from the cache
//! or from a fill under way, and streams them. It knows no protocol.
//!
//! A front end asks in steps, each of which costs no more than it must: [`Depot::find`] (memory only), [`Depot::size`]
//! (what is known, else one request to the origin), [`Depot::read`], and [`Reader::stream`], which begins or joins the
//! fill of what is not here yet.

mod blob;
mod board;
mod bypass;
mod crew;
mod drive;
mod error;
mod events;
mod fetch;
mod fill;
mod hashing;
mod held;
mod history;
mod holds;
mod lists;
mod meters;
mod pins;
mod preload;
mod ranges;
mod rate;
mod reader;
mod settings;
mod stock;
mod stream;
#[cfg(test)]
pub(crate) mod tests;
mod traffic;
mod transfer;
mod verdict;
mod views;
mod wishes;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use error::ReadError;
pub use events::{FillEvent, TransferEnd, TransferEvent, TransferFacts};
pub use fill::FillOutcome;
pub use holds::{EvictRefusal, Hold, Holder, UnknownHolder};
pub use pins::{PINS_FILE, Pin, PinError};
pub use preload::{FetchError, Progress};
pub use rate::Rate;
pub use reader::Reader;
pub use settings::{Delivery, FillSettings, Release};
pub use stock::Stock;
pub use stream::ByteStream;
pub use traffic::{ByProtocol, TransferTotals};
pub use transfer::{CacheState, Outcome, Protocol, Transfer};
pub(crate) use views::moment;
pub use views::{FillPhase, FillRecord, FillStatus, TransferRecord, TransferStatus};

use self::drive::Driver;
use self::fetch::Fetch;
use self::fill::{Fill, Phase};
use self::held::Held;
use self::history::History;
use self::holds::Holders;
use self::pins::Pins;
use self::stock::{Supply, Whence};
use self::traffic::Traffic;
use self::verdict::SourceFailures;
use crate::asset::{ByteRange, Digest, SourceUrl};
use crate::cache::{Cache, Entry};
use crate::catalog::{Asset, Catalog};
use crate::origin::{OriginStatus, Origins};
use crate::task::blocking;

/// Memory for such blobs.
const HOT_TOTAL: u64 = 64 << 20;
/// Sizes and failures that are remembered: more names than a catalog has.
const REMEMBERED: u64 = 100_000;
/// How long to go around the cache before room for a blob is looked for again.
const ROOM_AGAIN: Duration = Duration::from_secs(10);
/// Block lists that are kept in memory for streams around the cache; one may be some 30 MiB.
const BLOCK_LISTS: u64 = 16;

/// The depot. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct Depot {
    shared: Arc<Shared>,
}

struct Shared {
    supply: ArcSwap<Supply>,
    /// Held while the supply is exchanged.
    restocking: Mutex<()>,
    held: Arc<Held>,
    cache: Cache,
    fills: Mutex<HashMap<Digest, Arc<Fill>>>,
    hot: moka::sync::Cache<Digest, Bytes>,
    /// Blobs for which there was no room a moment ago.
    unstored: moka::sync::Cache<Digest, ()>,
    traffic: Arc<Traffic>,
    history: Arc<History>,
    holders: Arc<Holders>,
    /// What the settings pin.
    pinned: Mutex<Vec<Hold>>,
    /// What operators pin.
    pins: Pins,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Depot {
    /// A depot of this catalog over these origins and this cache, with the pins that operators left in the cache's
    /// directory. Blocks for reading those.
    pub fn new(catalog: Catalog, origins: Origins, cache: Cache, settings: FillSettings) -> Self {
        let supply = Supply::new(catalog, origins, settings);
        let pins = Pins::new(cache.dir().join(PINS_FILE));
        let weight = |_: &Digest, bytes: &Bytes| u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        let shared = Shared {
            supply: ArcSwap::from_pointee(supply),
            restocking: Mutex::default(),
            held: Arc::default(),
            cache,
            fills: Mutex::default(),
            hot: moka::sync::Cache::builder().max_capacity(HOT_TOTAL).weigher(weight).build(),
            unstored: moka::sync::Cache::builder().max_capacity(REMEMBERED).time_to_live(ROOM_AGAIN).build(),
            traffic: Arc::new(Traffic::new()),
            history: Arc::new(History::new()),
            holders: Arc::default(),
            pinned: Mutex::default(),
            pins,
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
        };
        let depot = Self { shared: Arc::new(shared) };
        depot.read_pins();
        depot.apply_pins();
        depot.keep_pins();
        depot
    }

    /// The catalog as it is now.
    pub fn catalog(&self) -> Arc<Catalog> {
        Arc::clone(&self.shared.supply.load().catalog)
    }

    /// The cache that it fills and reads.
    pub fn cache(&self) -> &Cache {
        &self.shared.cache
    }

    /// How the origins that were asked for anything fared.
    pub fn origins(&self) -> Vec<OriginStatus> {
        self.shared.supply.load().origins.health()
    }

    /// How many fills run at a time; others wait.
    pub fn max_fills(&self) -> usize {
        self.shared.supply.load().settings.max_fills.max(1)
    }

    /// Deals in `stock` from now on, all of it at once. Whoever has found an asset keeps it, and fills under way go on as they
    /// began; what was remembered of blobs holds as long as their sources are the same. Memory only:
    /// [`Depot::keep_pins`] is to be called after it.
    pub fn restock(&self, stock: Stock) {
        let _restocking = self.shared.restocking.lock().unwrap_or_else(PoisonError::into_inner);
        self.shared.supply.store(Arc::new(self.supply().followed_by(stock)));
        self.apply_pins();
    }

    fn supply(&self) -> Arc<Supply> {
        self.shared.supply.load_full()
    }

    /// A transfer of `name` to `peer`, begun now.
    pub fn transfer(&self, protocol: Protocol, peer: SocketAddr, name: impl Into<String>) -> Transfer {
        Transfer::begin(&self.shared.traffic, protocol, peer, name.into())
    }

    /// A transfer of what the catalog does not have. `text` is the client's: it is escaped and cut, so that it writes no
    /// lines of its own into the log.
    pub fn unknown_transfer(&self, protocol: Protocol, peer: SocketAddr, text: &str) -> Transfer {
        self.transfer(protocol, peer, transfer::shown(text))
    }

    /// The asset of this name, if the catalog has it, or else a [`Hold`]. Memory only.
    pub fn find(&self, name: &str) -> Option<Arc<Asset>> {
        let found = self.shared.supply.load().catalog.by_name(name).cloned();
        found.or_else(|| self.shared.held.by_name(name))
    }

    /// An asset with this digest, if the catalog has it, or else a [`Hold`]. Memory only.
    pub fn find_digest(&self, digest: &Digest) -> Option<Arc<Asset>> {
        let found = self.shared.supply.load().catalog.by_digest(digest).first().cloned();
        found.or_else(|| self.shared.held.by_digest(digest))
    }

    /// The asset's size in bytes, where the cache, the catalog or a fill under way has it. Memory only.
    pub fn known_size(&self, asset: &Asset) -> Option<u64> {
        let of_fill = || {
            let phase = self.filling().get(&asset.digest).map(|fill| fill.phase());
            match phase? {
                Phase::Filling(partial) => Some(partial.size()),
                Phase::Complete(entry) => Some(entry.size()),
                _ => None,
            }
        };
        self.shared.cache.size_of(&asset.digest).or(asset.size).or_else(of_fill)
    }

    /// The asset's size in bytes: from the cache, the catalog, a fill or memory at once, else by one request to its origin,
    /// which begins no fill.
    pub async fn size(&self, asset: &Arc<Asset>) -> Result<u64, ReadError> {
        if let Some(size) = self.known_size(asset) {
            return Ok(size);
        }
        let supply = self.supply();
        let sources = sources(&supply, asset);
        let whence = supply.whence(&asset.digest, &sources);
        if let Some(error) = supply.memory.failed.get(&whence) {
            return Err(error);
        }
        // Even of a fill that was begun: it may have to wait for others before it learns the size itself.
        // Boxed: inline it would be 6 KiB of every request's future, which is moved around for each request.
        let asked = Box::pin(supply.memory.sizes.try_get_with(whence, ask_size(&supply, &sources))).await;
        asked.map_err(|error| remember(&supply, whence, ReadError::clone(&error)))
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
            let supply = self.supply();
            let whence = supply.whence(&asset.digest, &sources(&supply, asset));
            if let Some(error) = supply.memory.failed.get(&whence) {
                return Err(error);
            }
            let known = match asset.size {
                Some(size) => Some(size),
                None => supply.memory.sizes.get(&whence).await,
            };
            if let Some(size) = known {
                return Ok(reader(size, None));
            }
            let Some((fill, state)) = self.join(asset, Wanting::Lasting)? else { continue };
            let size = match fill.begun().await {
                Phase::Filling(partial) => partial.size(),
                Phase::Complete(entry) => entry.size(),
                Phase::Starting | Phase::Unstored(_) => self.size(asset).await?,
                Phase::Failed(error) => return Err(error),
            };
            supply.memory.sizes.insert(whence, size).await;
            return Ok(Reader { began: state == CacheState::Miss, ..reader(size, None) });
        }
    }

    /// A number that rises with what the fill of this digest waits for: bytes of its own that come or are hashed, and before
    /// its turn those of the fills at work. `None`: no fill of it is under way. Memory only.
    pub fn moved(&self, digest: &Digest) -> Option<u64> {
        let fills = self.filling();
        let fill = fills.get(digest)?;
        Some(if fill.has_turn() { fill.moved() } else { fills.values().map(|fill| fill.moved()).sum() })
    }

    /// Looks for a blob in the cache.
    async fn look(&self, digest: &Digest) -> Found {
        let cache = &self.shared.cache;
        if let Some(entry) = cache.get_if_open(digest) {
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

    fn filling(&self) -> MutexGuard<'_, HashMap<Digest, Arc<Fill>>> {
        self.shared.fills.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The fill of this asset: the one under way, else a new one. `None` when the blob has come meanwhile.
    fn join(&self, asset: &Arc<Asset>, wanting: Wanting) -> Result<Option<(Arc<Fill>, CacheState)>, ReadError> {
        let shared = &self.shared;
        let mut fills = self.filling();
        // One that nobody wanted any more is on its way out, and the next waits for it.
        let under_way = fills.get(&asset.digest).cloned();
        let (under_way, before) = match under_way {
            Some(fill) if fill.stop().is_cancelled() => (None, Some(fill)),
            under_way => (under_way, None),
        };
        if let Some(fill) = under_way {
            wanting.note(&fill);
            return Ok(Some((fill, CacheState::Join)));
        }
        // A fill that ended well leaves the map only when its blob is in the cache.
        if shared.cache.size_of(&asset.digest).is_some() {
            return Ok(None);
        }
        if shared.stop.is_cancelled() {
            return Err(ReadError::Closing);
        }
        let fill = Arc::new(Fill::new(Arc::clone(asset), shared.stop.child_token()));
        wanting.note(&fill);
        fills.insert(asset.digest, Arc::clone(&fill));
        drop(fills);
        let supply = self.supply();
        let driver = Driver {
            fill: Arc::clone(&fill),
            sources: sources(&supply, asset),
            origins: supply.origins.clone(),
            cache: shared.cache.clone(),
            settings: supply.settings.clone(),
            slots: Arc::clone(&supply.slots),
            stop: shared.stop.clone(),
            history: Arc::clone(&shared.history),
            before,
        };
        let whence = supply.whence(&asset.digest, &driver.sources);
        let listed = Listed { depot: self.clone(), fill: Arc::clone(&fill), supply, whence };
        shared.tasks.spawn(async move {
            let blocks = listed.depot.clone().block_list(Arc::clone(listed.fill.asset()));
            driver.run(blocks).await;
            drop(listed);
        });
        Ok(Some((fill, CacheState::Miss)))
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
}

/// Where the asset may be fetched: its own sources, and those of others with the same bytes.
fn sources(supply: &Supply, asset: &Asset) -> Vec<SourceUrl> {
    let mut sources = asset.sources.clone();
    for source in supply.catalog.by_digest(&asset.digest).iter().flat_map(|same| &same.sources) {
        if !sources.contains(source) {
            sources.push(source.clone());
        }
    }
    sources
}

/// Asks the origins for the size.
async fn ask_size(supply: &Supply, sources: &[SourceUrl]) -> Result<u64, ReadError> {
    let mut failures = SourceFailures::default();
    for source in sources {
        match Fetch::open(&supply.origins, source, ByteRange::new(0, 1), None, supply.settings.retries).await {
            Ok(fetch) => return Ok(fetch.total()),
            Err(error) => failures.origin(&error),
        }
    }
    Err(failures.verdict().1)
}

/// Keeps an error that asking again soon will not mend.
fn remember(supply: &Supply, whence: Whence, error: ReadError) -> ReadError {
    if matches!(error, ReadError::NotFound(_) | ReadError::WrongBytes(_)) {
        supply.memory.failed.insert(whence, error.clone());
    }
    error
}

/// How somebody wants a fill.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanting {
    /// It goes on whether they wait for it or not.
    Lasting,
    /// They may take it back.
    Revocable,
}

impl Wanting {
    fn note(self, fill: &Fill) {
        match self {
            Self::Lasting => fill.wishes().lasting(),
            Self::Revocable => fill.wishes().revocable(),
        }
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
    /// What it began with.
    supply: Arc<Supply>,
    whence: Whence,
}

impl Drop for Listed {
    fn drop(&mut self) {
        let asset = self.fill.asset();
        match self.fill.phase() {
            Phase::Failed(error) => drop(remember(&self.supply, self.whence, error)),
            Phase::Unstored(_) => self.depot.shared.unstored.insert(asset.digest, ()),
            _ => {}
        }
        let mut fills = self.depot.filling();
        // Another may have taken the place of one that was cancelled.
        if fills.get(&asset.digest).is_some_and(|listed| Arc::ptr_eq(listed, &self.fill)) {
            fills.remove(&asset.digest);
        }
    }
}
