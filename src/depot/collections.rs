//! The state of collections: names that are bound, names that are being looked up, and changes that wait for an operator.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;

use futures_util::future::{BoxFuture, Shared};
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Semaphore;

use super::error::ReadError;
use crate::asset::{AssetName, Digest};
use crate::catalog::{BoundAssets, Catalog};
use crate::collection::{Binding, Bindings, BindingsError};
use crate::task::blocking;

/// The record of bindings, in the cache directory.
pub const BINDINGS_FILE: &str = "collections.jsonl";
/// Objects that are looked up at a time: as many as connections that a store serves without throttling.
const MAX_LOOKUPS: usize = 32;

/// A lookup that several requests wait for.
pub(super) type SharedLookup = Shared<BoxFuture<'static, Result<(), ReadError>>>;

/// The state of all collections.
pub(super) struct Collections {
    bindings: Arc<Bindings>,
    /// The assets of the catalog in use.
    bound: Mutex<Arc<BoundAssets>>,
    pub(super) permits: Semaphore,
    lookups: Mutex<HashMap<AssetName, SharedLookup>>,
    changes: Mutex<BTreeMap<AssetName, Change>>,
}

/// An object that has other bytes than the asset of its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The digest that is served.
    pub known: Digest,
    /// The digest of the object now. `None` if nothing says it.
    pub found: Option<Digest>,
}

impl Collections {
    /// Reads the record. Blocks.
    pub(super) fn open(path: PathBuf) -> Self {
        Self {
            bindings: Arc::new(Bindings::open(path)),
            bound: Mutex::default(),
            permits: Semaphore::new(MAX_LOOKUPS),
            lookups: Mutex::default(),
            changes: Mutex::default(),
        }
    }

    /// The catalog with the assets of its collections that are bound. From now on it gets those that are bound later. Memory
    /// only.
    pub(super) fn attach(&self, catalog: Catalog) -> Catalog {
        if catalog.collections().is_empty() {
            self.changes.lock().clear();
            return catalog;
        }
        let bound = Arc::new(BoundAssets::default());
        // Locked until the end: a name that is bound in between is added to the new one.
        let mut current = self.bound.lock();
        for binding in self.bindings.all() {
            if catalog.member(&binding.name).is_some_and(|(_, source)| source == binding.source) {
                bound.insert(binding.asset());
            }
        }
        self.changes.lock().retain(|name, _| bound.by_name(name.as_str()).is_some());
        *current = Arc::clone(&bound);
        catalog.with_bound(bound)
    }

    /// The binding of a name.
    pub(super) fn binding(&self, name: &AssetName) -> Option<Binding> {
        self.bindings.get(name)
    }

    /// Binds a name. The record is on the disk when this returns.
    pub(super) async fn bind(&self, binding: Binding) -> Result<(), BindingsError> {
        let (bindings, recorded) = (Arc::clone(&self.bindings), binding.clone());
        blocking(move || bindings.put(recorded)).await?;
        self.changes.lock().remove(&binding.name);
        self.bound.lock().insert(binding.asset());
        Ok(())
    }

    /// The lookups in progress.
    pub(super) fn lookups(&self) -> MutexGuard<'_, HashMap<AssetName, SharedLookup>> {
        self.lookups.lock()
    }

    /// Notes that an object has changed. Returns whether that is news.
    pub(super) fn note_change(&self, name: &AssetName, change: Change) -> bool {
        self.changes.lock().insert(name.clone(), change.clone()) != Some(change)
    }

    /// Notes that an object is the one that its name is bound to.
    pub(super) fn clear_change(&self, name: &AssetName) {
        self.changes.lock().remove(name);
    }

    /// Changes that wait for an operator.
    pub(super) fn changes(&self) -> Vec<(AssetName, Change)> {
        self.changes.lock().iter().map(|(name, change)| (name.clone(), change.clone())).collect()
    }
}
