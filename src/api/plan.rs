//! The plan of a preload.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::word::words;
use crate::jobs::{self, PlannedState};

/// The effect of a preload. Bytes that several assets share count once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Plan {
    /// How many assets there are.
    pub assets: usize,
    /// Those that are cached.
    pub cached: Cached,
    /// Those that are on the disk and unverified: they are hashed, not fetched.
    #[serde(default)]
    pub unverified: Cached,
    /// Those that are missing.
    pub missing: Missing,
    /// Whether the missing ones fit into the cache.
    pub room: Room,
    /// Each asset.
    pub items: Vec<PlanItem>,
}

/// The cached assets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct Cached {
    /// How many assets.
    pub assets: usize,
    /// How many bytes.
    pub bytes: u64,
}

/// The missing assets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct Missing {
    /// How many assets.
    pub assets: usize,
    /// How many bytes, as far as sizes are known.
    pub bytes: u64,
    /// How many have an unknown size.
    pub unknown_sizes: usize,
}

/// Whether all assets fit into the cache at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct Room {
    /// Bytes available to the missing assets after everything evictable is evicted.
    pub available: u64,
    /// Whether that is enough, as far as sizes are known. If not, the last assets fail: a preload does not evict its own
    /// assets.
    pub fits: bool,
}

/// One asset of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PlanItem {
    /// Its name.
    pub name: String,
    /// Its size in bytes; null if unknown.
    pub size: Option<u64>,
    /// Its state.
    pub state: PlannedState,
}

impl From<jobs::Plan> for Plan {
    fn from(plan: jobs::Plan) -> Self {
        let jobs::Plan { assets, cached, unverified, missing, room, items } = plan;
        let jobs::Missing { assets: absent, bytes, unknown_sizes } = missing;
        Self {
            assets,
            cached: Cached { assets: cached.assets, bytes: cached.bytes },
            unverified: Cached { assets: unverified.assets, bytes: unverified.bytes },
            missing: Missing { assets: absent, bytes, unknown_sizes },
            room: Room { available: room.available, fits: room.fits },
            items: items.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<jobs::PlanItem> for PlanItem {
    fn from(item: jobs::PlanItem) -> Self {
        let jobs::PlanItem { name, size, state } = item;
        Self { name: name.to_string(), size, state }
    }
}

words! {
    PlannedState as "PlannedState": "The state of an asset in a plan.";
}
