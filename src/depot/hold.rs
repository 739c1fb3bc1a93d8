//! Holding assets: their blobs stay in the cache, and their names lead to them, even when the catalog has them no more.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Depot;
use crate::asset::{AssetName, Digest};
use crate::cache::Cache;
use crate::catalog::Asset;

/// Holds an asset's blob, and its block list's, against eviction for as long as this lives, whether they are here
/// already or not. Its name leads to it all the while, unless the catalog says otherwise: a machine that began with what
/// an earlier catalog named can go on with it.
pub struct Hold {
    cache: Cache,
    held: Arc<Held>,
    asset: Arc<Asset>,
}

/// The assets that are held.
#[derive(Default)]
pub(super) struct Held {
    /// Of one name there may be several, of different catalogs; the last is the newest.
    by_name: Mutex<HashMap<AssetName, Vec<Arc<Asset>>>>,
}

impl Held {
    pub(super) fn by_name(&self, name: &str) -> Option<Arc<Asset>> {
        self.lock().get(name)?.last().cloned()
    }

    pub(super) fn by_digest(&self, digest: &Digest) -> Option<Arc<Asset>> {
        self.lock().values().flatten().find(|asset| asset.digest == *digest).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<AssetName, Vec<Arc<Asset>>>> {
        self.by_name.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The blobs of an asset: its bytes, and its block list.
fn digests(asset: &Asset) -> impl Iterator<Item = &Digest> {
    [&asset.digest].into_iter().chain(asset.blocks.as_ref().map(|list| &list.digest))
}

impl Drop for Hold {
    fn drop(&mut self) {
        digests(&self.asset).for_each(|digest| self.cache.unpin(digest));
        let mut held = self.held.lock();
        if let Some(assets) = held.get_mut(&self.asset.name) {
            if let Some(at) = assets.iter().position(|asset| Arc::ptr_eq(asset, &self.asset)) {
                assets.remove(at);
            }
            if assets.is_empty() {
                held.remove(&self.asset.name);
            }
        }
    }
}

impl Depot {
    /// Holds the asset from now on.
    pub fn hold(&self, asset: &Arc<Asset>) -> Hold {
        let (cache, held) = (self.shared.cache.clone(), Arc::clone(&self.shared.held));
        digests(asset).for_each(|digest| cache.pin(digest));
        held.lock().entry(asset.name.clone()).or_default().push(Arc::clone(asset));
        Hold { cache, held, asset: Arc::clone(asset) }
    }
}
