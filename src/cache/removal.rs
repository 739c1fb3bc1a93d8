//! How files leave the store: evicted, moved to quarantine, or forgotten because they do not exist.

use std::time::SystemTime;

use metrics::counter;
use tracing::{info, warn};

use super::index::Victim;
use super::open_blob::OpenBlob;
use super::record::Record;
use super::store::Store;
use super::{CacheError, EvictError};
use crate::asset::Digest;

/// Corrupt blobs that are kept for a diagnosis.
const MOST_QUARANTINED: usize = 16;

impl Store {
    /// Removes from the disk what was taken out of the index. If that fails, puts the rest back. The caller holds the names.
    pub(super) fn remove(&self, victims: Vec<Victim<OpenBlob>>) -> Result<(), CacheError> {
        let mut victims = victims.into_iter();
        while let Some(victim) = victims.next() {
            let removed = match &victim {
                Victim::Quarantined(digest, _) => self.dir.remove(&self.dir.quarantined(digest)),
                Victim::Partial(digest, _) => self.dir.remove_partial(digest),
                Victim::Blob(digest, _) => self.dir.remove_blob(digest),
            };
            if let Err(error) = removed {
                let mut index = self.index();
                [victim].into_iter().chain(victims).for_each(|victim| index.restore(victim));
                drop(index);
                return Err(self.mark_failed(error));
            }
            if let Victim::Blob(digest, blob) = victim {
                if let Some(log) = self.eviction_log.get() {
                    log(&digest, blob.size);
                } else {
                    info!(target: "bootdepot::eviction", %digest, bytes = blob.size, "blob evicted");
                }
                counter!("bootdepot_evictions_total").increment(1);
            }
        }
        Ok(())
    }

    /// Evicts one blob on request. Returns its size in bytes.
    pub(super) fn evict(&self, digest: &Digest) -> Result<u64, EvictError> {
        let _names = self.names();
        let (victim, size) = {
            let mut index = self.index();
            let (size, _) = index.peek(digest).ok_or(EvictError::Missing(*digest))?;
            if index.is_pinned(digest) {
                return Err(EvictError::Pinned(*digest));
            }
            if index.is_held(digest) {
                return Err(EvictError::Held(*digest));
            }
            (index.take_victim(digest), size)
        };
        self.remove(victim.into_iter().collect())?;
        self.report();
        Ok(size)
    }

    /// Removes a blob from the index, if it still is the one of this serial, and returns its size. Readers keep their open
    /// file. The caller holds the names.
    fn remove_from_index(&self, digest: &Digest, serial: Option<u64>) -> Option<u64> {
        let mut index = self.index();
        let (size, found) = index.peek(digest)?;
        if serial.is_some_and(|serial| serial != found) {
            return None;
        }
        let file = index.remove(digest);
        drop(index);
        drop(file);
        Some(size)
    }

    /// Removes a blob whose file does not exist from the index, if it still is the one of this serial.
    pub(super) fn forget(&self, digest: &Digest, serial: u64) {
        let _names = self.names();
        if self.remove_from_index(digest, Some(serial)).is_some() {
            log_vanished(digest);
            self.report();
        }
    }

    /// Moves a blob to quarantine, if it still is the one of this serial, so that it is no longer cached. Returns whether it
    /// was cached. Readers keep their open file.
    pub(super) fn quarantine(&self, digest: &Digest, serial: Option<u64>) -> bool {
        let _names = self.names();
        let Some(size) = self.remove_from_index(digest, serial) else { return false };
        let mut was_cached = true;
        if self.health.is_locked() {
            // Whatever has its name after a power loss is not verified.
            self.records.add(Record { digest: *digest, used: SystemTime::now(), proof: None });
            let ready = self.dir.make_dir(&self.dir.quarantine());
            match ready.and_then(|()| self.dir.rename(&self.dir.blob(digest), &self.dir.quarantined(digest))) {
                Ok(()) => {
                    if let Err(error) = self.dir.sync_dir(&self.dir.quarantine()) {
                        drop(self.mark_failed(error));
                    }
                    let oldest = {
                        let mut index = self.index();
                        index.add_quarantined(digest, size, SystemTime::now());
                        index.trim_quarantine(MOST_QUARANTINED)
                    };
                    // On failure the index has them again, and the error is logged.
                    let _ = self.remove(oldest);
                }
                // Its file was removed, or the whole directory, which the next probe finds.
                Err(error) if error.is_missing() => {
                    log_vanished(digest);
                    was_cached = false;
                }
                // The index does not have it any more; its next fill replaces the file.
                Err(error) => drop(self.mark_failed(error)),
            }
        }
        self.report();
        was_cached
    }
}

fn log_vanished(digest: &Digest) {
    warn!(%digest, "blob file missing");
}
