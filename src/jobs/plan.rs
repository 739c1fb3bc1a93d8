//! Plans: what a preload would fetch, and whether the cache has space for it.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream;

use super::status::PlannedState;
use crate::asset::{AssetName, Digest};
use crate::catalog::Asset;
use crate::depot::Depot;
use crate::task::blocking;

/// Concurrent requests to origins for sizes.
const CONCURRENT_REQUESTS: usize = 16;
/// The timeout of all these requests together: an operator waits for the plan, which does not need every size.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// The plan of a preload. Bytes that several assets share count once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// How many assets there are.
    pub assets: usize,
    /// The cached ones.
    pub cached: Cached,
    /// Those that are on the disk and unverified: they are hashed, not fetched.
    pub unverified: Cached,
    /// Those that are not.
    pub missing: Missing,
    /// Whether there is room for them.
    pub room: Room,
    /// Each asset.
    pub items: Vec<PlanItem>,
}

/// The cached part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cached {
    /// How many assets.
    pub assets: usize,
    /// How many bytes.
    pub bytes: u64,
}

/// The missing part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Missing {
    /// How many assets.
    pub assets: usize,
    /// How many bytes, of those whose size is known.
    pub bytes: u64,
    /// The number of assets of unknown size.
    pub unknown_sizes: usize,
}

/// Whether all of it can be in the cache at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Room {
    /// Bytes that the missing ones could take, when everything has gone that may go for them.
    pub available: u64,
    /// Whether that is enough, as far as sizes are known. Where it is not, what comes last fails: nothing that this very
    /// preload brought in goes for it.
    pub fits: bool,
}

/// One asset of a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanItem {
    /// Its name.
    pub name: AssetName,
    /// Its size in bytes, where it is known.
    pub size: Option<u64>,
    /// Where it is.
    pub state: PlannedState,
}

impl Plan {
    /// The plan for these assets, with the sizes that are known. Memory only, except one query of the file system's free space.
    pub fn of(assets: &[Arc<Asset>], depot: &Depot) -> Self {
        let filling: HashSet<Digest> = depot.fills().into_iter().map(|fill| fill.digest).collect();
        let item = |asset: &Arc<Asset>| {
            let progress = depot.progress(asset);
            let state = match progress.cached {
                true => PlannedState::Cached,
                false if progress.unverified => PlannedState::Unverified,
                false if filling.contains(&asset.digest) => PlannedState::Filling,
                false => PlannedState::Missing,
            };
            PlanItem { name: asset.name.clone(), size: progress.size, state }
        };
        let items = assets.iter().map(item).collect();
        let digests = assets.iter().map(|asset| asset.digest).collect();
        Self::sum(assets, items, depot.cache().capacity_for(&digests))
    }

    /// Like [`Plan::of`], but first requests unknown sizes from the origins. Sizes that are not received within five seconds stay
    /// unknown.
    pub async fn with_sizes(assets: Vec<Arc<Asset>>, depot: &Depot) -> Self {
        // The length of an unverified blob's file is enough for a plan: `Depot::size` would hash it.
        let is_unknown =
            |asset: &&Arc<Asset>| depot.known_size(asset).is_none() && depot.progress(asset).size.is_none();
        let unknown: Vec<_> = assets.iter().filter(is_unknown).cloned().collect();
        let requests =
            stream::iter(unknown).map(|asset| async move { (asset.name.clone(), depot.size(&asset).await.ok()) });
        let replies =
            requests.buffer_unordered(CONCURRENT_REQUESTS).take_until(Box::pin(tokio::time::sleep(REQUEST_TIMEOUT)));
        let sizes: HashMap<_, _> = replies.collect().await;
        let on = depot.clone();
        let (mut plan, assets) = blocking(move || (Self::of(&assets, &on), assets)).await;
        for item in plan.items.iter_mut().filter(|item| item.size.is_none()) {
            item.size = sizes.get(&item.name).copied().flatten();
        }
        let room = plan.cached.bytes + plan.unverified.bytes + plan.room.available;
        Self::sum(&assets, plan.items, room)
    }

    /// Adds up the items of these assets; `room` is the space for all of them in bytes.
    fn sum(assets: &[Arc<Asset>], items: Vec<PlanItem>, room: u64) -> Self {
        let (mut cached, mut unverified, mut missing) = (Cached::default(), Cached::default(), Missing::default());
        let mut counted = HashSet::new();
        for (asset, item) in assets.iter().zip(&items) {
            let first = counted.insert(asset.digest);
            let bytes = item.size.filter(|_| first).unwrap_or(0);
            let here = match item.state {
                PlannedState::Cached => &mut cached,
                PlannedState::Unverified => &mut unverified,
                PlannedState::Filling | PlannedState::Missing => {
                    missing.assets += 1;
                    missing.bytes += bytes;
                    missing.unknown_sizes += usize::from(first && item.size.is_none());
                    continue;
                }
            };
            here.assets += 1;
            here.bytes += bytes;
        }
        let available = room.saturating_sub(cached.bytes + unverified.bytes);
        let room = Room { available, fits: missing.bytes <= available };
        Self { assets: items.len(), cached, unverified, missing, room, items }
    }
}
