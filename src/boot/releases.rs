//! Which assets are live: releases go live whole, and only when every blob is proven.

use std::sync::Arc;

use crate::catalog::Asset;
use crate::depot::Depot;

/// Why a reference names no asset now.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotLive {
    /// There is no such asset, channel, or asset in the channel.
    #[error("the catalog has no asset {0:?}")]
    Unknown(String),
    /// The release that is to be live is not proven yet, and none before it is live.
    #[error("the release {release} is not here yet: {proven} of {total} assets are proven")]
    Fetching {
        /// The release.
        release: String,
        /// Its assets whose blobs are in the cache.
        proven: usize,
        /// All of its assets.
        total: usize,
    },
}

/// The releases, and which of them is live in each channel. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct Releases {
    depot: Depot,
}

impl Releases {
    /// No releases: every asset of the catalog is live.
    pub fn none(depot: Depot) -> Self {
        Self { depot }
    }

    /// The asset that `reference` means for a new script: an asset's NAME, or CHANNEL:SHORT, which is the asset SHORT of
    /// the release that is live in CHANNEL.
    pub fn find(&self, reference: &str) -> Result<Arc<Asset>, NotLive> {
        self.depot.find(reference).ok_or_else(|| NotLive::Unknown(reference.to_owned()))
    }

    /// What stands in the way of every active release being live, a sentence each.
    pub fn troubles(&self) -> Vec<String> {
        Vec::new()
    }
}
