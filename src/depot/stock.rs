//! What the depot deals in: which assets there are, how their origins are reached, and how fills go about it. One value,
//! swapped as a whole when the settings change; whoever began with an earlier one goes on with it.

use std::hash::{Hash as _, Hasher as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Semaphore;

use super::{BLOCK_LISTS, FillSettings, REMEMBERED, ReadError};
use crate::asset::{BlockList, Digest, SourceUrl};
use crate::catalog::Catalog;
use crate::origin::Origins;

/// What the depot deals in, as whoever loads the settings hands it over.
pub struct Stock {
    /// All assets.
    pub catalog: Catalog,
    /// How their sources are reached; none: as before, with the connections that are open.
    pub origins: Option<Origins>,
    /// How fills go about it.
    pub settings: FillSettings,
}

/// The same, in use.
pub(super) struct Supply {
    pub(super) catalog: Arc<Catalog>,
    pub(super) origins: Origins,
    /// Tells these origins from those before them.
    epoch: u64,
    pub(super) settings: FillSettings,
    /// One permit a fill at work, and one a stream around the cache.
    pub(super) slots: Arc<Semaphore>,
    pub(super) bypasses: Arc<Semaphore>,
    pub(super) memory: Memory,
}

/// What was learned of blobs that are not here: believed for the `negative_ttl`, and only of the sources that said so.
#[derive(Clone)]
pub(super) struct Memory {
    pub(super) sizes: moka::future::Cache<Whence, u64>,
    pub(super) failed: moka::sync::Cache<Whence, ReadError>,
    pub(super) lists: moka::sync::Cache<Whence, Option<Arc<BlockList>>>,
}

/// A blob as certain sources have it, reached in a certain way. What is remembered of it means nothing once the catalog names
/// other sources, or the origins have other credentials.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Whence {
    digest: Digest,
    sources: u64,
}

impl Memory {
    fn new(settings: &FillSettings) -> Self {
        let ttl = settings.negative_ttl;
        Self {
            // What an unproven object said of its length is believed no longer than that one was missing.
            sizes: moka::future::Cache::builder().max_capacity(REMEMBERED).time_to_live(ttl).build(),
            failed: moka::sync::Cache::builder().max_capacity(REMEMBERED).time_to_live(ttl).build(),
            lists: moka::sync::Cache::builder().max_capacity(BLOCK_LISTS).time_to_live(ttl).build(),
        }
    }
}

impl Supply {
    pub(super) fn new(catalog: Catalog, origins: Origins, settings: FillSettings) -> Self {
        let (slots, bypasses) = permits(&settings);
        let memory = Memory::new(&settings);
        Self { catalog: Arc::new(catalog), origins, epoch: next_epoch(), settings, slots, bypasses, memory }
    }

    /// What comes after this, with what of it still holds.
    pub(super) fn followed_by(&self, stock: Stock) -> Self {
        let Stock { catalog, origins, settings } = stock;
        let as_many =
            settings.max_fills == self.settings.max_fills && settings.connections == self.settings.connections;
        let (slots, bypasses) =
            if as_many { (Arc::clone(&self.slots), Arc::clone(&self.bypasses)) } else { permits(&settings) };
        let as_long = settings.negative_ttl == self.settings.negative_ttl;
        let memory = if as_long { self.memory.clone() } else { Memory::new(&settings) };
        let (origins, epoch) = match origins {
            Some(origins) => (origins, next_epoch()),
            None => (self.origins.clone(), self.epoch),
        };
        Self { catalog: Arc::new(catalog), origins, epoch, settings, slots, bypasses, memory }
    }

    /// The blob of this digest as these sources have it, in whatever order.
    pub(super) fn whence(&self, digest: &Digest, sources: &[SourceUrl]) -> Whence {
        let mut sources: Vec<_> = sources.iter().map(SourceUrl::as_str).collect();
        sources.sort_unstable();
        // The same within a process, which is all that anything is remembered for.
        let mut hasher = std::hash::DefaultHasher::new();
        (self.epoch, sources).hash(&mut hasher);
        Whence { digest: *digest, sources: hasher.finish() }
    }
}

fn next_epoch() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// Permits for fills, and for streams around the cache.
fn permits(settings: &FillSettings) -> (Arc<Semaphore>, Arc<Semaphore>) {
    let fills = settings.max_fills.max(1);
    (Arc::new(Semaphore::new(fills)), Arc::new(Semaphore::new(fills.saturating_mul(settings.connections.max(1)))))
}
