//! A partial whose digest is not known yet: the bytes of an object are stored while they are read to learn it.

use std::fmt;
use std::fs::File;
use std::io::IoSlice;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;

use super::dir::Dir;
use super::partial::SYNC_EVERY;
use super::parts::{self, PartLog};
use super::reservation_guard::ReservationGuard;
use super::store::Store;
use super::{Cache, CacheError};
use crate::asset::Digest;

/// A partial whose digest is not known yet. It has a random name, and no log: a file that a crash leaves is removed at the next
/// start. All calls block. If it is dropped without [`UnnamedPartial::name`], its bytes are discarded.
pub struct UnnamedPartial {
    reservation: ReservationGuard,
    size: u64,
    path: PathBuf,
    file: File,
    /// The bytes, counted from the start, that were synced to the disk.
    synced: u64,
}

impl Cache {
    /// Reserves `size` bytes for an object whose digest is to be learned. Fails as [`Cache::partial`] does. Blocks.
    pub fn unnamed_partial(&self, size: u64) -> Result<UnnamedPartial, CacheError> {
        self.store.begin_partial(size, || UnnamedPartial::open(&self.store, size))
    }
}

impl UnnamedPartial {
    fn open(store: &Arc<Store>, size: u64) -> Result<Self, CacheError> {
        let name = Digest::of(&fastrand::u128(..).to_ne_bytes());
        let reservation = {
            let _names = store.names();
            ReservationGuard::reserve(store, &name, size)?
        };
        store.report();
        let path = store.dir.partial(&name);
        match reservation.create_file(size) {
            Ok(file) => {
                reservation.set_on_disk(true);
                Ok(Self { reservation, size, path, file, synced: 0 })
            }
            Err(error) => Err(reservation.not_created(error, size)),
        }
    }

    /// Writes `pieces`, one after the other, beginning at `offset`, where the last ones have ended. The caller ends within the size.
    pub fn write_at(&mut self, offset: u64, pieces: &[Bytes]) -> Result<(), CacheError> {
        let store = self.reservation.store();
        let length = pieces.iter().map(|piece| piece.len() as u64).sum();
        let write = || {
            let mut slices: Vec<_> = pieces.iter().map(|piece| IoSlice::new(piece)).collect();
            store.dir.write(&self.file, &self.path, offset, &mut slices)
        };
        store.with_space(length, write).map_err(|error| self.failed(error))?;
        let end = offset + length;
        if end - self.synced >= SYNC_EVERY {
            store.dir.sync_data(&self.file, &self.path).map_err(|error| self.failed(error))?;
            let unallocated = Dir::unallocated(&self.file, &self.path).map_err(|error| self.failed(error))?;
            store.index().set_unallocated(self.reservation.digest(), unallocated);
            self.synced = end;
        }
        Ok(())
    }

    fn failed(&self, error: CacheError) -> CacheError {
        self.reservation.store().mark_failed(error).for_size(self.size)
    }

    /// Makes it the partial of this digest, of which the next fill finds every part written and verifies the whole. Returns
    /// whether it did: not if that digest has a blob or a partial already.
    pub fn name(self, digest: &Digest, part_size: u64) -> Result<bool, CacheError> {
        let (store, old) = (Arc::clone(self.reservation.store()), *self.reservation.digest());
        let _names = store.names();
        if !store.index().rename_reservation(&old, digest) {
            return Ok(false);
        }
        self.reservation.set_settled();
        let reservation = ReservationGuard::new(&store, digest, true);
        let logged = store.dir.rename(&self.path, &store.dir.partial(digest)).and_then(|()| {
            let mut log = PartLog::create(&store.dir, digest, self.size, part_size, &parts::boot_id())?;
            let all: Vec<usize> = (0..parts::count(self.size, part_size)).collect();
            log.add_written(&store.dir, &all)?;
            let synced = all.iter().copied().take_while(|part| (*part as u64 + 1) * part_size <= self.synced);
            log.add_durable(&store.dir, &synced.collect::<Vec<_>>())
        });
        if let Err(error) = logged {
            let _ = store.dir.remove(&self.path);
            return Err(reservation.not_created(error, self.size));
        }
        // The end of the guard leaves it to the next fill.
        Ok(true)
    }
}

impl Drop for UnnamedPartial {
    fn drop(&mut self) {
        if self.reservation.is_settled() {
            return;
        }
        let _names = self.reservation.store().names();
        if let Err(error) = self.reservation.remove() {
            let _ = self.reservation.store().mark_failed(error);
        }
    }
}

impl fmt::Debug for UnnamedPartial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UnnamedPartial({} bytes)", self.size)
    }
}
