//! A blob whose file is not the one that was verified, or of which that is unknown: a restored backup, a copied cache, the
//! cache of an earlier version, a file that was changed. It is opened to be hashed.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use tracing::warn;

use super::open_blob::OpenBlob;
use super::record::Proof;
use super::store::Store;
use super::{Cache, CacheError, Entry};
use crate::asset::{Digest, VerifiedDigest};

/// An unverified blob. It is not evicted while this exists.
///
/// Either [`UnverifiedBlob::admit`] makes it a verified one, or [`UnverifiedBlob::quarantine`] removes it. Otherwise it stays
/// as it is.
pub struct UnverifiedBlob {
    store: Arc<Store>,
    digest: Digest,
    serial: u64,
    file: Arc<OpenBlob>,
    /// The digest of the file's seal when it was opened.
    verity: Option<Digest>,
}

impl Cache {
    /// Opens the blob of this digest if it is on the disk and unverified. `None` also if its file cannot be opened, or is
    /// corrupt for certain because it has another length than was verified or than `expected`; then it is in quarantine.
    /// Blocks.
    pub fn unverified(&self, digest: &Digest, expected: Option<u64>) -> Option<UnverifiedBlob> {
        let (serial, size) = self.store.index().unverified(digest)?;
        let file = self.store.open_file(digest, serial)?;
        let length = file.identity().size;
        if length != size || expected.is_some_and(|expected| length != expected) {
            warn!(%digest, length, expected = expected.unwrap_or(size), "blob has wrong length");
            self.store.quarantine(digest, Some(serial));
            return None;
        }
        let file = self.store.keep_open(digest, serial, file);
        let verity = self.store.sealer.measure(file.file());
        Some(UnverifiedBlob { store: Arc::clone(&self.store), digest: *digest, serial, file, verity })
    }
}

impl UnverifiedBlob {
    /// The length of its file in bytes.
    pub fn size(&self) -> u64 {
        self.file.identity().size
    }

    /// Reads into all of `buffer`, beginning at `offset`. Blocks.
    pub fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), CacheError> {
        let read = self.file.read_at(offset, buffer);
        read.map_err(CacheError::io("read", &self.store.dir.blob(&self.digest)))
    }

    /// Makes it a verified blob, whose bytes were just read and have its digest. `None` if its file was changed since it was
    /// opened, or if it was removed from the cache. Blocks.
    pub fn admit(&self, verified: &VerifiedDigest) -> Option<Entry> {
        let is_of_file = *verified.digest() == self.digest && verified.size() == self.size();
        let (known, file) = (self.file.identity(), self.file.file());
        let is_unchanged = || self.file.has_its_identity() || self.store.is_changed_by_seal(&self.digest, known, file);
        if !is_of_file || !is_unchanged() {
            return None;
        }
        let proof = Proof { file: *known, at: SystemTime::now(), verity: self.verity };
        let is_there = self.store.prove(&self.digest, self.serial, proof, Some(Arc::clone(&self.file)));
        is_there.then(|| Entry::new(Arc::clone(&self.file)))
    }

    /// Moves it to quarantine, because of `reason`. Blocks.
    pub fn quarantine(&self, reason: &str) {
        if self.store.quarantine(&self.digest, Some(self.serial)) {
            warn!(digest = %self.digest, reason, "blob quarantined");
        }
    }
}

impl fmt::Debug for UnverifiedBlob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UnverifiedBlob({}, {} bytes)", self.digest, self.size())
    }
}
