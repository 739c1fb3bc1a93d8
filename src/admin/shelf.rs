//! Assets as operators see them: what the catalog says of each, and how the cache stands to it. It knows no requests.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::asset::{AssetName, Digest};
use crate::boot::Boot;
use crate::cache::Listed;
use crate::catalog::Asset;
use crate::depot::{Depot, FillView, timestamp};

/// An asset, and how the cache stands to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AssetView {
    /// Its name.
    pub name: String,
    /// The SHA-256 of its bytes, in hex.
    pub digest: String,
    /// Its size in bytes, where it is known.
    pub size: Option<u64>,
    /// Whether it is here.
    pub state: AssetState,
    /// Bytes of it that are here.
    pub bytes: u64,
    /// Whether it is held against eviction.
    pub pinned: bool,
    /// By whom: `settings`, `operator`, `release NAME` or `job NUMBER`.
    pub pinned_by: Vec<String>,
    /// Whether it is being read.
    pub in_use: bool,
    /// The releases that it is of.
    pub releases: Vec<String>,
    /// Its media type.
    pub content_type: String,
    /// Where it may be fetched, without what may be secret in it.
    pub sources: Vec<String>,
    /// When it was last asked for.
    pub used: Option<Timestamp>,
    /// When its bytes were last hashed.
    pub verified: Option<Timestamp>,
    /// Why it could not be had when that was last tried, as long as that is remembered.
    pub failure: Option<String>,
    /// When its turn comes to be evicted: 1 is what goes first. None for what is not here or is held.
    pub evicted_next: Option<u64>,
}

/// Whether an asset is here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum AssetState {
    /// It is in the cache, proven.
    Proven,
    /// A fill of it is under way.
    Filling,
    /// Neither.
    Missing,
}

impl AssetState {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Proven => "proven",
            Self::Filling => "filling",
            Self::Missing => "missing",
        }
    }
}

/// What is in the cache at one timestamp, and on its way there.
pub struct Shelf {
    depot: Depot,
    blobs: HashMap<Digest, (Listed, Option<u64>)>,
    fills: HashMap<String, FillView>,
    releases: HashMap<AssetName, Vec<String>>,
}

impl Shelf {
    /// As it is now. Each lock is held for as long as its list takes to copy.
    pub fn look(boot: &Boot) -> Self {
        let depot = boot.depot().clone();
        let mut listed = depot.cache().list();
        // In the order in which the cache evicts them.
        listed.sort_unstable_by_key(|blob| (blob.used, blob.digest));
        let mut rank = 0;
        let ranked = listed.into_iter().map(|blob| {
            let loose = !blob.pinned && !blob.held;
            rank += u64::from(loose);
            (blob.digest, (blob, loose.then_some(rank)))
        });
        let blobs = ranked.collect();
        let fills = depot.fills().into_iter().map(|fill| (fill.digest.clone(), fill)).collect();
        Self { depot, blobs, fills, releases: boot.releases().by_asset() }
    }

    /// Whether the asset is here.
    pub fn state(&self, asset: &Asset) -> AssetState {
        if self.blobs.contains_key(&asset.digest) {
            AssetState::Proven
        } else if !self.fills.is_empty() && self.fills.contains_key(&asset.digest.to_string()) {
            AssetState::Filling
        } else {
            AssetState::Missing
        }
    }

    /// Whether the asset is held.
    pub(super) fn is_pinned(&self, asset: &Asset) -> bool {
        match self.blobs.get(&asset.digest) {
            Some((blob, _)) => blob.pinned,
            None => self.depot.cache().is_pinned(&asset.digest),
        }
    }

    /// The asset as operators see it.
    pub fn view(&self, asset: &Asset) -> AssetView {
        let (state, digest) = (self.state(asset), asset.digest.to_string());
        let (blob, fill) = (self.blobs.get(&asset.digest), self.fills.get(&digest));
        let (size, bytes) = match (blob, fill) {
            (Some((blob, _)), _) => (Some(blob.size), blob.size),
            (None, Some(fill)) => (fill.size.or(asset.size), fill.bytes),
            (None, None) => (asset.size, 0),
        };
        AssetView {
            name: asset.name.to_string(),
            digest,
            size,
            state,
            bytes,
            pinned: self.is_pinned(asset),
            pinned_by: self.depot.retention_reasons(&asset.digest).iter().map(ToString::to_string).collect(),
            in_use: blob.is_some_and(|(blob, _)| blob.held),
            releases: self.releases.get(&asset.name).cloned().unwrap_or_default(),
            content_type: asset.content_type.to_string(),
            sources: asset.sources.iter().map(ToString::to_string).collect(),
            used: blob.map(|(blob, _)| timestamp(blob.used)),
            verified: blob.map(|(blob, _)| timestamp(blob.verified)),
            failure: match state {
                AssetState::Missing => self.depot.failure(&asset.digest).map(|error| error.to_string()),
                _ => None,
            },
            evicted_next: blob.and_then(|(_, rank)| *rank),
        }
    }
}

/// All assets whose names begin with `prefix`, in the order of their names.
pub fn sorted(depot: &Depot, prefix: &str) -> Vec<Arc<Asset>> {
    let catalog = depot.catalog();
    let mut assets: Vec<_> =
        catalog.assets().filter(|asset| asset.name.as_str().starts_with(prefix)).cloned().collect();
    assets.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    assets
}
