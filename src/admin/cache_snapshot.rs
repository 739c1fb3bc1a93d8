//! A snapshot of the cache, for the states of assets. It knows no requests.

use std::collections::HashMap;
use std::sync::Arc;

use crate::api::{AssetState, AssetView};
use crate::asset::{AssetName, Digest};
use crate::boot::Boot;
use crate::cache::BlobInfo;
use crate::catalog::Asset;
use crate::clock::timestamp;
use crate::depot::{Depot, FillStatus};

/// The contents of the cache and the running fills at one moment.
pub(super) struct CacheSnapshot {
    depot: Depot,
    blobs: HashMap<Digest, (BlobInfo, Option<u64>)>,
    fills: HashMap<Digest, FillStatus>,
    releases: HashMap<AssetName, Vec<String>>,
}

impl CacheSnapshot {
    /// Takes a snapshot. Each lock is held while its list is copied.
    pub(super) fn take(boot: &Boot) -> Self {
        let depot = boot.depot().clone();
        let mut listed = depot.cache().list();
        // In the order in which the cache evicts them.
        listed.sort_unstable_by_key(|blob| (blob.used, blob.digest));
        let mut rank = 0;
        let ranked = listed.into_iter().map(|blob| {
            let evictable = !blob.pinned && !blob.held;
            rank += u64::from(evictable);
            (blob.digest, (blob, evictable.then_some(rank)))
        });
        let blobs = ranked.collect();
        let fills = depot.fills().into_iter().map(|fill| (fill.digest, fill)).collect();
        Self { depot, blobs, fills, releases: boot.releases().by_asset() }
    }

    /// The state of an asset.
    pub(super) fn state(&self, asset: &Asset) -> AssetState {
        match self.blobs.get(&asset.digest) {
            Some((blob, _)) if blob.verified.is_some() => AssetState::Cached,
            // Also while its fill hashes it.
            Some(_) => AssetState::Unverified,
            None if self.fills.contains_key(&asset.digest) => AssetState::Filling,
            None => AssetState::Missing,
        }
    }

    /// Whether an asset is pinned.
    pub(super) fn is_pinned(&self, asset: &Asset) -> bool {
        match self.blobs.get(&asset.digest) {
            Some((blob, _)) => blob.pinned,
            None => self.depot.cache().is_pinned(&asset.digest),
        }
    }

    /// The view of an asset.
    pub(super) fn view(&self, asset: &Asset) -> AssetView {
        let (state, digest) = (self.state(asset), asset.digest);
        let (blob, fill) = (self.blobs.get(&digest), self.fills.get(&digest));
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
            pinned_by: self.depot.retention_reasons(&digest),
            in_use: blob.is_some_and(|(blob, _)| blob.held),
            releases: self.releases.get(&asset.name).cloned().unwrap_or_default(),
            content_type: asset.content_type.to_string(),
            sources: asset.sources.iter().map(ToString::to_string).collect(),
            used: blob.map(|(blob, _)| timestamp(blob.used)),
            verified: blob.and_then(|(blob, _)| blob.verified).map(timestamp),
            failure: match state {
                AssetState::Missing => self.depot.failure(&digest).map(|error| error.to_string()),
                _ => None,
            },
            evicted_next: blob.and_then(|(_, rank)| *rank),
        }
    }
}

/// All assets whose names begin with `prefix`, sorted by name.
pub(super) fn sorted(depot: &Depot, prefix: &str) -> Vec<Arc<Asset>> {
    let catalog = depot.catalog();
    let mut assets: Vec<_> = catalog.assets().filter(|asset| asset.name.as_str().starts_with(prefix)).collect();
    assets.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    assets
}
