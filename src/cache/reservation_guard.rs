//! The guard of a partial's reservation: it settles the reservation in the index, however the partial ends.

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

    /// Notes that the index has turned the reservation into a blob.
    pub(super) fn set_admitted(&self) {
        self.settled.store(true, Ordering::Relaxed);
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
