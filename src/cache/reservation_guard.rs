//! The guard of a partial's reservation: it settles the reservation in the index, however the partial ends.

use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use super::CacheError;
use super::store::Store;
use crate::asset::Digest;

/// The reservation of a digest in the index, which ends when this is dropped.
pub(super) struct ReservationGuard {
    store: Arc<Store>,
    digest: Digest,
    /// The partial's files exist.
    on_disk: AtomicBool,
    /// The reservation has ended.
    settled: AtomicBool,
}

impl ReservationGuard {
    /// The guard of a reservation that exists in the index. `on_disk` is whether the partial's files exist.
    pub(super) fn new(store: &Arc<Store>, digest: &Digest, on_disk: bool) -> Self {
        let (on_disk, settled) = (on_disk.into(), false.into());
        Self { store: Arc::clone(store), digest: *digest, on_disk, settled }
    }

    /// Reserves space for a partial that does not exist yet, and evicts what is necessary for it. The caller holds the names.
    pub(super) fn reserve(store: &Arc<Store>, digest: &Digest, size: u64) -> Result<Self, CacheError> {
        let free = store.dir.free();
        let victims = store.reserve(digest, size, free)?;
        let reservation = Self::new(store, digest, false);
        store.remove(victims)?;
        Ok(reservation)
    }

    /// Creates the file of the bytes, and has the file system allocate its space.
    pub(super) fn create_file(&self, size: u64) -> Result<File, CacheError> {
        let (store, path) = (&self.store, self.store.dir.partial(&self.digest));
        let file = store.with_space(1, || store.dir.create(&path))?;
        // The disk has less space than it reported if there is a quota or another writer.
        let unallocated = store.with_space(size, || store.dir.allocate(&file, &path, size))?;
        store.index().set_unallocated(&self.digest, unallocated);
        Ok(file)
    }

    /// The error of a partial of this size that could not be created. Its files are removed.
    pub(super) fn not_created(&self, error: CacheError, size: u64) -> CacheError {
        self.set_on_disk(self.store.dir.remove_partial(&self.digest).is_err());
        self.store.mark_failed(error).for_size(size)
    }

    pub(super) fn store(&self) -> &Arc<Store> {
        &self.store
    }

    pub(super) fn digest(&self) -> &Digest {
        &self.digest
    }

    /// Notes whether the partial's files exist.
    pub(super) fn set_on_disk(&self, on_disk: bool) {
        self.on_disk.store(on_disk, Ordering::Relaxed);
    }

    /// Notes that the reservation has ended: the index has turned it into a blob, or into the reservation of another digest.
    pub(super) fn set_settled(&self) {
        self.settled.store(true, Ordering::Relaxed);
    }

    /// Whether the reservation has ended.
    pub(super) fn is_settled(&self) -> bool {
        self.settled.load(Ordering::Relaxed)
    }

    /// Removes the files, and with them the reservation. The caller holds the names.
    pub(super) fn remove(&self) -> Result<(), CacheError> {
        self.store.dir.remove_partial(&self.digest)?;
        self.set_on_disk(false);
        self.settle();
        Ok(())
    }

    /// Releases the reservation, or leaves it to the next fill if the files exist. Only once: afterwards another fill may
    /// have it.
    pub(super) fn settle(&self) {
        if self.settled.swap(true, Ordering::Relaxed) {
            return;
        }
        let mut index = self.store.index();
        if self.on_disk.load(Ordering::Relaxed) {
            index.set_idle(&self.digest, SystemTime::now());
        } else {
            index.release(&self.digest);
        }
        drop(index);
        self.store.report();
    }
}

impl Drop for ReservationGuard {
    fn drop(&mut self) {
        self.settle();
    }
}
