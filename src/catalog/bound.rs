//! Assets of collections whose digests are known. They come and go while a catalog is in use.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::RwLock;

use super::asset::Asset;
use crate::asset::{AssetName, Digest};

/// The assets of collections, by name and by digest.
#[derive(Debug, Default)]
pub struct BoundAssets(RwLock<Maps>);

#[derive(Debug, Default)]
struct Maps {
    by_name: HashMap<AssetName, Arc<Asset>>,
    by_digest: HashMap<Digest, Vec<Arc<Asset>>>,
}

impl BoundAssets {
    /// Adds an asset, in place of one of the same name.
    pub fn insert(&self, asset: Asset) {
        let asset = Arc::new(asset);
        let mut maps = self.0.write();
        maps.remove(&asset.name);
        maps.by_name.insert(asset.name.clone(), Arc::clone(&asset));
        maps.by_digest.entry(asset.digest).or_default().push(asset);
    }

    /// Removes the asset of this name.
    pub fn remove(&self, name: &AssetName) {
        self.0.write().remove(name);
    }

    /// The asset of this name.
    pub fn by_name(&self, name: &str) -> Option<Arc<Asset>> {
        self.0.read().by_name.get(name).cloned()
    }

    pub(super) fn by_digest(&self, digest: &Digest) -> Vec<Arc<Asset>> {
        self.0.read().by_digest.get(digest).cloned().unwrap_or_default()
    }

    pub(super) fn all(&self) -> Vec<Arc<Asset>> {
        self.0.read().by_name.values().cloned().collect()
    }

    pub(super) fn len(&self) -> usize {
        self.0.read().by_name.len()
    }
}

impl Maps {
    fn remove(&mut self, name: &AssetName) {
        let Some(old) = self.by_name.remove(name) else { return };
        if let Some(same) = self.by_digest.get_mut(&old.digest) {
            same.retain(|asset| asset.name != *name);
            if same.is_empty() {
                self.by_digest.remove(&old.digest);
            }
        }
    }
}
