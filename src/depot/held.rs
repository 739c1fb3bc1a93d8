//! Assets that are held, by their names: found by them even when the catalog has them no more. A machine that began with what
//! an earlier catalog named can go on with it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::asset::{AssetName, Digest};
use crate::catalog::Asset;

/// The assets that are held.
#[derive(Default)]
pub(super) struct Held {
    /// Of one name there may be several, of different catalogs; the last is the newest.
    by_name: Mutex<HashMap<AssetName, Vec<Arc<Asset>>>>,
}

impl Held {
    /// The asset of this name.
    pub(super) fn by_name(&self, name: &str) -> Option<Arc<Asset>> {
        self.lock().get(name)?.last().cloned()
    }

    /// An asset with this digest.
    pub(super) fn by_digest(&self, digest: &Digest) -> Option<Arc<Asset>> {
        self.lock().values().flatten().find(|asset| asset.digest == *digest).cloned()
    }

    /// Holds the asset once more.
    pub(super) fn add(&self, asset: &Arc<Asset>) {
        self.lock().entry(asset.name.clone()).or_default().push(Arc::clone(asset));
    }

    /// Holds it once less.
    pub(super) fn remove(&self, asset: &Arc<Asset>) {
        let mut held = self.lock();
        let Some(assets) = held.get_mut(&asset.name) else { return };
        if let Some(at) = assets.iter().position(|held| Arc::ptr_eq(held, asset)) {
            assets.remove(at);
        }
        if assets.is_empty() {
            held.remove(&asset.name);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<AssetName, Vec<Arc<Asset>>>> {
        self.by_name.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
