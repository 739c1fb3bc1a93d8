//! The facade of the depot: one cheap handle for catalog, cache, fills, transfers, retentions and pins.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use bytes::Bytes;
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::bypasses::Bypasses;
use super::collections::{BINDINGS_FILE, Collections};
use super::eviction_log;
use super::fill::Fill;
use super::fill_history::FillHistory;
use super::pins::{PINS_FILE, Pins};
use super::protocol::Protocol;
use super::retention::{Retention, RetentionReason, Retentions};
use super::settings::{FillSettings, Release};
use super::snapshot::{DepotConfig, Snapshot};
use super::transfer::{Transfer, escape_for_log};
use super::transfer_registry::TransferRegistry;
use crate::asset::{AssetName, Digest};
use crate::cache::Cache;
use crate::catalog::{Asset, Catalog};
use crate::origin::{OriginStatus, Origins};

/// Memory for small blobs that were read before, in bytes.
const HOT_CAPACITY: u64 = 64 << 20;
/// Entries for blobs that the cache had no space for: more than a catalog has assets.
const NO_SPACE_CAPACITY: u64 = 100_000;
/// How long reads bypass the cache before a fill tries again to reserve space.
const NO_SPACE_TTL: Duration = Duration::from_secs(10);

/// The depot. Cheap to clone; all clones share one state.
#[derive(Clone)]
pub struct Depot {
    pub(super) shared: Arc<Shared>,
}

/// The state that all clones of a [`Depot`] share.
pub(super) struct Shared {
    /// Shared with the cache, which logs evictions by name.
    snapshot: Arc<ArcSwap<Snapshot>>,
    /// Held while the snapshot is replaced.
    reconfiguring: Mutex<()>,
    pub(super) cache: Cache,
    fills: Mutex<HashMap<Digest, Arc<Fill>>>,
    /// Small blobs that were read before.
    pub(super) hot: moka::sync::Cache<Digest, Bytes>,
    /// Blobs that the cache recently had no space for.
    pub(super) no_space: moka::sync::Cache<Digest, ()>,
    /// Reads that bypass the cache.
    pub(super) bypasses: Bypasses,
    /// One permit for each large blob of the cache that is hashed.
    pub(super) hash_permits: Arc<Semaphore>,
    pub(super) transfers: Arc<TransferRegistry>,
    pub(super) history: Arc<FillHistory>,
    pub(super) retentions: Arc<Retentions>,
    /// Retentions of the assets that the configuration pins.
    configured_pins: Mutex<Vec<Retention>>,
    /// Assets that operators pin.
    pub(super) pins: Pins,
    pub(super) collections: Arc<Collections>,
    pub(super) tasks: TaskTracker,
    pub(super) stop: CancellationToken,
}

impl Depot {
    /// Creates a depot and loads the operators' pins from the cache directory. Blocks while it reads them.
    pub fn new(catalog: Catalog, origins: Origins, cache: Cache, settings: FillSettings) -> Self {
        let collections = Arc::new(Collections::open(cache.dir().join(BINDINGS_FILE)));
        let snapshot = Snapshot::new(collections.attach(catalog), origins, settings);
        let retentions = Arc::new(Retentions::new(cache.clone()));
        let pins = Pins::new(cache.dir().join(PINS_FILE), Arc::clone(&retentions));
        let weight = |_: &Digest, bytes: &Bytes| u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        let no_space = moka::sync::Cache::builder().max_capacity(NO_SPACE_CAPACITY).time_to_live(NO_SPACE_TTL);
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let shared = Shared {
            bypasses: Bypasses::new(tasks.clone(), stop.clone()),
            snapshot: Arc::new(ArcSwap::from_pointee(snapshot)),
            reconfiguring: Mutex::default(),
            cache,
            fills: Mutex::default(),
            hot: moka::sync::Cache::builder().max_capacity(HOT_CAPACITY).weigher(weight).build(),
            no_space: no_space.build(),
            hash_permits: Arc::new(Semaphore::new(available_parallelism().map_or(1, Into::into))),
            transfers: Arc::new(TransferRegistry::new()),
            history: Arc::new(FillHistory::new()),
            retentions,
            configured_pins: Mutex::default(),
            pins,
            collections,
            tasks,
            stop,
        };
        let depot = Self { shared: Arc::new(shared) };
        let snapshot = Arc::clone(&depot.shared.snapshot);
        depot.shared.cache.set_eviction_log(move |digest, bytes| {
            eviction_log::log(&snapshot.load().catalog, digest, bytes);
        });
        depot.shared.pins.load(&|| depot.catalog());
        depot.apply_pins();
        depot.save_pins();
        depot
    }

    /// The current catalog.
    pub fn catalog(&self) -> Arc<Catalog> {
        Arc::clone(&self.shared.snapshot.load().catalog)
    }

    /// The cache that the depot fills and reads.
    pub fn cache(&self) -> &Cache {
        &self.shared.cache
    }

    /// The health of the origins that were used.
    pub fn origins(&self) -> Vec<OriginStatus> {
        self.shared.snapshot.load().origins.health()
    }

    /// How many fills run at a time; further fills wait.
    pub fn max_fills(&self) -> usize {
        self.shared.snapshot.load().settings.max_fills.max(1)
    }

    /// When bytes of an active fill may be sent.
    pub(super) fn release(&self) -> Release {
        self.shared.snapshot.load().settings.release
    }

    /// Atomically switches to a new catalog, origins and settings snapshot. Resolved assets and running fills keep the old
    /// one; cached replies stay valid for as long as the sources are the same.
    ///
    /// Memory only: the caller must call [`Depot::save_pins`] afterwards, where it may block.
    pub fn reconfigure(&self, config: DepotConfig) {
        let _reconfiguring = self.shared.reconfiguring.lock();
        let config = DepotConfig { catalog: self.shared.collections.attach(config.catalog), ..config };
        self.shared.snapshot.store(Arc::new(self.snapshot().next(config)));
        self.apply_pins();
    }

    /// The current snapshot.
    pub(super) fn snapshot(&self) -> Arc<Snapshot> {
        self.shared.snapshot.load_full()
    }

    /// Starts the accounting of a transfer of `name` to `peer`.
    pub fn transfer(&self, protocol: Protocol, peer: SocketAddr, name: impl Into<String>) -> Transfer {
        self.transfer_since(protocol, peer, name, Instant::now())
    }

    /// Starts the accounting of a transfer that was requested earlier, at `since`.
    pub fn transfer_since(
        &self,
        protocol: Protocol,
        peer: SocketAddr,
        name: impl Into<String>,
        since: Instant,
    ) -> Transfer {
        Transfer::begin(&self.shared.transfers, protocol, peer, name.into(), since)
    }

    /// Starts the accounting of a transfer whose name is not in the catalog. `text` comes from the client: it is escaped
    /// and truncated, so that it cannot add lines to the log.
    pub fn unknown_transfer(&self, protocol: Protocol, peer: SocketAddr, text: &str) -> Transfer {
        self.transfer(protocol, peer, escape_for_log(text))
    }

    /// The asset with this name, from the catalog or from a [`Retention`]. Memory only.
    pub fn find(&self, name: &str) -> Option<Arc<Asset>> {
        let found = self.shared.snapshot.load().catalog.by_name(name);
        found.or_else(|| self.shared.retentions.by_name(name))
    }

    /// An asset with this digest, from the catalog or from a [`Retention`]. Memory only.
    pub fn find_digest(&self, digest: &Digest) -> Option<Arc<Asset>> {
        let found = self.shared.snapshot.load().catalog.by_digest(digest).into_iter().next();
        found.or_else(|| self.shared.retentions.by_digest(digest))
    }

    /// Whether the blob with this digest is in the cache and verified. Memory only.
    pub fn is_cached(&self, digest: &Digest) -> bool {
        self.shared.cache.size_of(digest).is_some()
    }

    /// Whether the blob with this digest is on the disk and not verified. Memory only.
    pub fn is_unverified(&self, digest: &Digest) -> bool {
        self.shared.cache.unverified_size_of(digest).is_some()
    }

    /// Retains the asset's blob in the cache until the returned value is dropped.
    pub fn retain(&self, asset: &Arc<Asset>, reason: RetentionReason) -> Retention {
        self.shared.retentions.retain_asset(asset, reason)
    }

    /// Why the blob with this digest is retained, without duplicates. Memory only.
    pub fn retention_reasons(&self, digest: &Digest) -> Vec<RetentionReason> {
        self.shared.retentions.reasons(digest)
    }

    /// The active fills by digest.
    pub(super) fn active_fills(&self) -> MutexGuard<'_, HashMap<Digest, Arc<Fill>>> {
        self.shared.fills.lock()
    }

    /// Counts the assets after one of a collection was bound, or is no more, and makes an operator's pin of it follow. Memory only.
    pub(super) fn follow_binding(&self, name: &AssetName) {
        self.count_assets();
        if self.pins().iter().any(|pin| pin.name == name.as_str()) {
            self.shared.pins.follow(&|| self.catalog());
        }
    }

    fn count_assets(&self) {
        metrics::gauge!("bootdepot_catalog_assets").set(u32::try_from(self.catalog().len()).unwrap_or(u32::MAX));
    }

    /// Retains what the configuration and the operators pin, and releases what an earlier catalog pinned. Memory only.
    fn apply_pins(&self) {
        let catalog = self.catalog();
        let pinned = catalog.assets().filter(|asset| asset.pin);
        let retained = pinned.map(|asset| self.retain(&asset, RetentionReason::Configuration)).collect();
        let previous = std::mem::replace(&mut *self.shared.configured_pins.lock(), retained);
        // Dropped without the lock.
        drop(previous);
        self.count_assets();
        self.shared.pins.follow(&|| self.catalog());
    }

    /// Writes the pin file if names resolve to other digests than it records, and this file and the record of collections if they
    /// were deleted with the cache directory. If a write fails, the next call tries again. Blocks.
    pub fn save_pins(&self) {
        self.shared.pins.save_if_stale(self.shared.cache.is_available());
        self.shared.collections.bindings().restore();
    }

    /// Reasons why the depot is not ready, one sentence each; empty if it is ready.
    pub fn readiness_problems(&self) -> Vec<String> {
        self.shared.cache.writable().err().into_iter().collect()
    }

    /// Warnings for operators although the depot is ready, one sentence each.
    pub fn warnings(&self) -> Vec<String> {
        let changed = self.changes().into_iter().map(|(name, change)| {
            let (has, now) = match change.found {
                Some(digest) => ("has", format!(", now {digest}")),
                None => ("may have", String::new()),
            };
            let served = if self.is_cached(&change.known) {
                "the known ones are served"
            } else {
                "the known ones are not cached, and nothing is served"
            };
            format!(
                "{name} {has} other bytes at its source (SHA-256 {}{now}); {served} until `bootdepot accept {name}`",
                change.known
            )
        });
        let record = self.shared.collections.bindings().warnings();
        self.shared.cache.shortage().into_iter().chain(record).chain(changed).collect()
    }

    /// Stops all fills; their partial blobs stay for a later resume. Readers of active fills end with an error.
    pub async fn close(&self) {
        self.shared.stop.cancel();
        self.shared.tasks.close();
        self.shared.tasks.wait().await;
    }
}
