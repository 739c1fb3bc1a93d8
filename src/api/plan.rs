//! What a preload will mean.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::word::words;
use crate::jobs::{self, PlannedState};

/// What bringing some assets into the cache will mean. Bytes that several assets have in common count once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Plan {
    /// How many assets there are.
    pub assets: usize,
    /// Those that are here.
    pub cached: Cached,
    /// Those that are not.
    pub missing: Missing,
    /// Whether there is room for them.
    pub room: Room,
    /// Each asset.
    pub items: Vec<PlanItem>,
}

/// What is here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct Cached {
    /// How many assets.
    pub assets: usize,
    /// How many bytes.
    pub bytes: u64,
}

/// What is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct Missing {
    /// How many assets.
    pub assets: usize,
    /// How many bytes, of those whose size is known.
    pub bytes: u64,
    /// Of how many the size is not known.
    pub unknown_sizes: usize,
}

/// Whether all of it can be in the cache at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct Room {
    /// Bytes that the missing ones could take, when everything has gone that may go for them.
    pub available: u64,
    /// Whether that is enough, as far as sizes are known. Where it is not, what comes last fails: nothing that this very
    /// preload brought in goes for it.
    pub fits: bool,
}

/// One asset of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PlanItem {
    /// Its name.
    pub name: String,
    /// Its size in bytes, where it is known.
    pub size: Option<u64>,
    /// Where it is.
    pub state: PlannedState,
}

impl From<jobs::Plan> for Plan {
    fn from(plan: jobs::Plan) -> Self {
        let jobs::Plan { assets, cached, missing, room, items } = plan;
        let jobs::Missing { assets: absent, bytes, unknown_sizes } = missing;
        Self {
            assets,
            cached: Cached { assets: cached.assets, bytes: cached.bytes },
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
    PlannedState as "PlannedState": "What a plan says of an asset.";
}
