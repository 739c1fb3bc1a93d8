//! A snapshot of the catalog, the origins and the fill settings, with the cache of what the origins reported.
//!
//! A reload replaces the snapshot as a whole. Resolved assets and running fills keep the one that they started with.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Semaphore;

use super::error::ReadError;
use super::negative_cache::{NegativeCache, NegativeEntries};
use super::settings::FillSettings;
use super::source_failures::SourceFailures;
use super::source_key::SourceKey;
use crate::asset::{AssetName, BlockList, Digest, SourceUrl};
use crate::catalog::{Asset, Catalog};
use crate::collection::{Directories, Finder};
use crate::origin::Origins;

/// Entries of each cache of origin replies: more than a catalog has assets.
const MAX_ENTRIES: u64 = 100_000;
/// Bytes of remembered lookups: names are texts of clients.
const MAX_LOOKUP_BYTES: u64 = 16 << 20;
/// Block lists kept in memory for streams that bypass the cache; one may have 30 MiB.
const MAX_BLOCK_LISTS: u64 = 16;

/// A new configuration for the depot.
pub struct DepotConfig {
    /// All assets.
    pub catalog: Catalog,
    /// How to reach the sources. `None` keeps the current origins with their open connections.
    pub origins: Option<Origins>,
    /// How fills read their sources.
    pub settings: FillSettings,
}

/// One configuration in use.
pub(super) struct Snapshot {
    pub(super) catalog: Arc<Catalog>,
    pub(super) origins: Origins,
    /// Differs for each set of origins, so that replies of earlier ones are not reused.
    epoch: u64,
    pub(super) settings: FillSettings,
    /// One permit for each running fill.
    pub(super) fill_permits: Arc<Semaphore>,
    /// One permit for each stream that bypasses the cache.
    pub(super) bypass_permits: Arc<Semaphore>,
    pub(super) replies: SourceCache,
}

/// Sources' reports about blobs that are not cached. Entries expire after `negative_ttl`.
#[derive(Clone)]
pub(super) struct SourceCache {
    pub(super) sizes: moka::future::Cache<SourceKey, u64>,
    pub(super) negative: NegativeCache,
    /// Lookups of assets of collections.
    pub(super) lookups: moka::sync::Cache<AssetName, Result<(), ReadError>>,
    /// Looks for the digests of objects of collections.
    pub(super) finder: Finder,
    /// Lists directories of collections.
    pub(super) directories: Directories,
    /// `None` for an asset whose block list could not be read.
    pub(super) block_lists: moka::sync::Cache<SourceKey, Option<Arc<BlockList>>>,
}

impl SourceCache {
    fn new(settings: &FillSettings) -> Self {
        let ttl = settings.negative_ttl;
        Self {
            // The size of an unverified object is trusted no longer than a missing object is.
            sizes: moka::future::Cache::builder().max_capacity(MAX_ENTRIES).time_to_live(ttl).build(),
            negative: NegativeCache::new(ttl),
            lookups: lookups(ttl),
            finder: Finder::new(ttl),
            directories: Directories::new(ttl),
            block_lists: moka::sync::Cache::builder().max_capacity(MAX_BLOCK_LISTS).time_to_live(ttl).build(),
        }
    }
}

fn lookups(ttl: Duration) -> moka::sync::Cache<AssetName, Result<(), ReadError>> {
    moka::sync::Cache::builder().max_capacity(MAX_LOOKUP_BYTES).weigher(lookup_weight).time_to_live(ttl).build()
}

/// The memory of a remembered lookup in bytes, about.
fn lookup_weight(name: &AssetName, result: &Result<(), ReadError>) -> u32 {
    let reason = match result {
        Err(ReadError::NotFound(reason)) => reason.len(),
        _ => 0,
    };
    u32::try_from(200 + name.as_str().len() + reason).unwrap_or(u32::MAX)
}

impl Snapshot {
    pub(super) fn new(catalog: Catalog, origins: Origins, settings: FillSettings) -> Self {
        let (fill_permits, bypass_permits) = permits(&settings);
        let replies = SourceCache::new(&settings);
        let (catalog, epoch) = (Arc::new(catalog), next_epoch());
        Self { catalog, origins, epoch, settings, fill_permits, bypass_permits, replies }
    }

    /// The snapshot after this one. Keeps the permits, replies and origins that `config` does not change.
    pub(super) fn next(&self, config: DepotConfig) -> Self {
        let DepotConfig { catalog, origins, settings } = config;
        let same_limits =
            settings.max_fills == self.settings.max_fills && settings.connections == self.settings.connections;
        let (fill_permits, bypass_permits) = if same_limits {
            (Arc::clone(&self.fill_permits), Arc::clone(&self.bypass_permits))
        } else {
            permits(&settings)
        };
        let same_ttl = settings.negative_ttl == self.settings.negative_ttl;
        let mut replies = if same_ttl { self.replies.clone() } else { SourceCache::new(&settings) };
        // They depend on the collections, whose keys or filters may be others now.
        replies.lookups = lookups(settings.negative_ttl);
        replies.finder = Finder::new(settings.negative_ttl);
        replies.directories = Directories::new(settings.negative_ttl);
        let (origins, epoch) = match origins {
            Some(origins) => (origins, next_epoch()),
            None => (self.origins.clone(), self.epoch),
        };
        Self { catalog: Arc::new(catalog), origins, epoch, settings, fill_permits, bypass_permits, replies }
    }

    /// The sources of the asset's bytes: its own, then those of other assets with the same digest.
    pub(super) fn sources(&self, asset: &Asset) -> Vec<SourceUrl> {
        let mut sources = asset.sources.clone();
        for same in self.catalog.by_digest(&asset.digest) {
            for source in &same.sources {
                if !sources.contains(source) {
                    sources.push(source.clone());
                }
            }
        }
        sources
    }

    /// The key of this digest for these sources, in any order.
    pub(super) fn source_key(&self, digest: &Digest, sources: &[SourceUrl]) -> SourceKey {
        SourceKey::new(self.epoch, digest, sources)
    }

    /// The sources that are known not to have the blob with this digest.
    pub(super) fn negative(&self, digest: &Digest) -> NegativeEntries {
        self.replies.negative.of(self.epoch, digest)
    }

    /// The error of this asset, if every source is known not to have it.
    pub(super) fn known_error(&self, asset: &Asset) -> Option<ReadError> {
        SourceFailures::known_error(&self.negative(&asset.digest), &self.sources(asset))
    }

    /// The key of this asset.
    pub(super) fn asset_key(&self, asset: &Asset) -> SourceKey {
        self.source_key(&asset.digest, &self.sources(asset))
    }
}

fn next_epoch() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// Permits for fills, and for streams that bypass the cache.
fn permits(settings: &FillSettings) -> (Arc<Semaphore>, Arc<Semaphore>) {
    let fills = settings.max_fills.max(1);
    (Arc::new(Semaphore::new(fills)), Arc::new(Semaphore::new(fills.saturating_mul(settings.connections.max(1)))))
}
