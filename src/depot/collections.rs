//! The state of collections: names that are bound, names that are being looked up, and changes that wait for an operator.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::{BoxFuture, Shared};
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Semaphore;
use tracing::warn;

use super::acceptance::{AcceptError, Accepted};
use super::error::ReadError;
use crate::asset::{AssetName, Digest};
use crate::catalog::{BoundAssets, Catalog, Collection, DigestSource, member};
use crate::collection::{Binding, Bindings, BindingsError, ObjectVersion};
use crate::task::blocking;

/// The record of bindings, in the cache directory.
pub const BINDINGS_FILE: &str = "collections.jsonl";
/// Objects of a collection that are looked up at a time: as many as connections that a store serves without throttling.
const MAX_LOOKUPS: usize = 32;
/// Objects of a collection that are read at a time to learn their digests. Each such read is a whole object.
const MAX_FIRST_USES: usize = 2;
/// Names of a collection that are looked up or wait for it. More are refused, so that requests for many names do not fill the
/// memory.
const MAX_PENDING: usize = 1_024;

/// A lookup that several requests wait for.
pub(super) type SharedLookup = Shared<BoxFuture<'static, Result<(), ReadError>>>;

/// An acceptance that several operators wait for.
pub(super) type SharedAcceptance = Shared<BoxFuture<'static, Result<Accepted, AcceptError>>>;

/// The state of all collections.
pub(super) struct Collections {
    bindings: Arc<Bindings>,
    current: Mutex<Current>,
    /// By prefix.
    loads: Mutex<HashMap<String, Arc<Load>>>,
    lookups: Mutex<HashMap<AssetName, SharedLookup>>,
    /// By the names that operators gave.
    acceptances: Mutex<HashMap<String, SharedAcceptance>>,
    changes: Mutex<BTreeMap<AssetName, Change>>,
    /// Digests of bytes that were seen, which is not recorded yet. As many as fills that run.
    seen: Mutex<HashMap<AssetName, Digest>>,
}

/// The collections of the catalog in use, and their assets.
#[derive(Default)]
struct Current {
    collections: Vec<Arc<Collection>>,
    bound: Arc<BoundAssets>,
}

/// The requests to the source of one collection: a source that hangs keeps no other waiting.
pub(super) struct Load {
    /// One permit for each lookup of a name that is not known yet.
    pub(super) unknown: Semaphore,
    /// One permit for each lookup of a known name: requests for many unknown names do not delay it.
    pub(super) known: Semaphore,
    /// One permit for each object that is read to learn its digest.
    pub(super) first_uses: Semaphore,
    pending: AtomicUsize,
    slow_until: Mutex<Option<Instant>>,
}

/// An object that has other bytes than the asset of its name, or may have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The digest that is served.
    pub known: Digest,
    /// The digest of the object now. `None` if nothing says it.
    pub found: Option<Digest>,
    /// How that digest was learned, if the object was read for it.
    pub learned: Option<DigestSource>,
    /// The object now.
    pub object: ObjectVersion,
}

impl Collections {
    /// Reads the record. Blocks.
    pub(super) fn open(path: PathBuf) -> Self {
        Self {
            bindings: Arc::new(Bindings::open(path)),
            current: Mutex::default(),
            loads: Mutex::default(),
            lookups: Mutex::default(),
            acceptances: Mutex::default(),
            changes: Mutex::default(),
            seen: Mutex::default(),
        }
    }

    /// The record.
    pub(super) fn bindings(&self) -> &Arc<Bindings> {
        &self.bindings
    }

    /// The catalog with the assets of its collections that are bound. From now on it gets those that are bound later. Memory
    /// only.
    pub(super) fn attach(&self, catalog: Catalog) -> Catalog {
        // Locked until the end: a name that is bound in between is added to the new one.
        let mut current = self.current.lock();
        let (collections, bound) = (catalog.collections().to_vec(), Arc::new(BoundAssets::default()));
        for binding in self.bindings.all() {
            if let Some((collection, source)) = member(&collections, &binding.name)
                && source.as_str() == binding.source.as_str()
                && collection.trusts(binding.from)
            {
                bound.insert(binding.asset(source));
            }
        }
        self.loads.lock().retain(|prefix, _| collections.iter().any(|it| it.prefix == *prefix));
        self.changes.lock().retain(|name, _| bound.by_name(name.as_str()).is_some());
        *current = Current { collections, bound: Arc::clone(&bound) };
        catalog.with_bound(bound)
    }

    /// The load of a collection's source.
    pub(super) fn load(&self, collection: &Collection) -> Arc<Load> {
        let mut loads = self.loads.lock();
        Arc::clone(loads.entry(collection.prefix.clone()).or_insert_with(|| {
            Arc::new(Load {
                unknown: Semaphore::new(MAX_LOOKUPS),
                known: Semaphore::new(MAX_LOOKUPS),
                first_uses: Semaphore::new(MAX_FIRST_USES),
                pending: AtomicUsize::new(0),
                slow_until: Mutex::default(),
            })
        }))
    }

    /// Binds a name, if `expected` accepts what is recorded of it. Returns whether it did. The record is on the disk when this
    /// returns. If another catalog is in use by now, which has the name from elsewhere, it does not get the asset.
    pub(super) async fn bind(
        &self,
        binding: Binding,
        expected: impl FnOnce(Option<&Binding>) -> bool + Send + 'static,
    ) -> Result<bool, BindingsError> {
        let (bindings, new) = (Arc::clone(&self.bindings), binding.clone());
        if !blocking(move || bindings.put_if(new, expected)).await? {
            return Ok(false);
        }
        self.changes.lock().remove(&binding.name);
        let current = self.current.lock();
        if let Some((_, source)) = member(&current.collections, &binding.name)
            && source.as_str() == binding.source.as_str()
        {
            current.bound.insert(binding.asset(source));
        }
        Ok(true)
    }

    /// Notes that bytes with this digest were seen for a name, until [`Collections::record_seen`]. Memory only.
    pub(super) fn note_seen(&self, name: &AssetName, digest: &Digest) {
        let is_unverified = |binding: Binding| binding.sha256 == *digest && !binding.verified;
        if self.bindings.get(name).is_some_and(is_unverified) {
            self.seen.lock().insert(name.clone(), *digest);
        }
    }

    /// Whether bytes with this digest were seen for a name, and that is not recorded yet.
    pub(super) fn is_seen(&self, name: &AssetName, digest: &Digest) -> bool {
        self.seen.lock().get(name) == Some(digest)
    }

    /// Records that bytes were seen. Blocks.
    pub(super) fn record_seen(&self, name: &AssetName) {
        let Some(digest) = self.seen.lock().get(name).copied() else { return };
        match self.bindings.confirm(name, &digest) {
            Ok(()) => drop(self.seen.lock().remove(name)),
            Err(error) => warn!(asset = %name, %error, "seen bytes not recorded"),
        }
    }

    /// Removes the binding of a name. Returns whether there was one.
    pub(super) async fn unbind(&self, name: &AssetName) -> Result<bool, BindingsError> {
        let (bindings, removed) = (Arc::clone(&self.bindings), name.clone());
        let found = blocking(move || bindings.remove(&removed)).await?;
        self.changes.lock().remove(name);
        self.current.lock().bound.remove(name);
        Ok(found)
    }

    /// The lookups in progress.
    pub(super) fn lookups(&self) -> MutexGuard<'_, HashMap<AssetName, SharedLookup>> {
        self.lookups.lock()
    }

    /// The acceptances in progress.
    pub(super) fn acceptances(&self) -> MutexGuard<'_, HashMap<String, SharedAcceptance>> {
        self.acceptances.lock()
    }

    /// Notes that an object has changed. Returns whether that is news.
    pub(super) fn note_change(&self, name: &AssetName, change: Change) -> bool {
        self.changes.lock().insert(name.clone(), change.clone()) != Some(change)
    }

    /// The change of a name that waits for an operator.
    pub(super) fn change(&self, name: &AssetName) -> Option<Change> {
        self.changes.lock().get(name).cloned()
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

/// A lookup that is counted as pending until this is dropped.
pub(super) struct Pending(Arc<Load>);

impl Load {
    /// Counts a lookup. `None` if there are too many.
    pub(super) fn begin(self: &Arc<Self>) -> Option<Pending> {
        let pending = Pending(Arc::clone(self));
        let others = self.pending.fetch_add(1, Ordering::Relaxed);
        (others < MAX_PENDING).then_some(pending)
    }

    /// Whether requests for known bytes do not wait for it.
    pub(super) fn is_slow(&self) -> bool {
        self.slow_until.lock().is_some_and(|until| Instant::now() < until)
    }

    /// Notes that it did not answer in time.
    pub(super) fn set_slow(&self, time: Duration) {
        *self.slow_until.lock() = Instant::now().checked_add(time);
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.0.pending.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::{ChangePolicy, MissingDigest, NameFilter};

    fn collection(prefix: &str) -> Collection {
        Collection {
            prefix: prefix.to_owned(),
            source: "s3://b/x/".parse().unwrap(),
            digest_from: Vec::new(),
            keys: Vec::new(),
            on_missing_digest: MissingDigest::Refuse,
            on_change: ChangePolicy::Keep,
            listing: false,
            filter: NameFilter::default(),
        }
    }

    #[test]
    fn pending_lookups_of_one_collection_are_bounded() {
        let dir = tempfile::tempdir().unwrap();
        let collections = Collections::open(dir.path().join("collections.jsonl"));
        let (isos, other) = (collections.load(&collection("isos/")), collections.load(&collection("other/")));
        let pending: Vec<_> = (0..MAX_PENDING).map(|_| isos.begin().unwrap()).collect();
        assert!(isos.begin().is_none() && collections.load(&collection("isos/")).begin().is_none());
        assert!(other.begin().is_some(), "another collection is not affected");
        drop(pending);
        assert!(isos.begin().is_some(), "refused lookups are not counted");
    }
}
