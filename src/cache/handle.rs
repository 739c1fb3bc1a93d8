//! The handle of the cache: what the rest of the program calls.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::SystemTime;

use super::seal::Seals;
use super::store::Store;
use super::{BlobInfo, CacheError, CacheSettings, CacheStats, Entry, EvictError, Partial};
use crate::asset::Digest;
use crate::fault_points::FaultPoints;

/// A disk cache of verified blobs. Cheap to clone; all clones are one cache.
#[derive(Clone)]
pub struct Cache {
    pub(super) store: Arc<Store>,
}

impl Cache {
    /// Opens or creates the cache in `settings.dir`, takes its lock, and reads names and sizes of what is there. Blocks.
    ///
    /// Fails only with [`CacheError::Locked`], and with [`CacheError::Unsealable`] if the settings require seals. A directory that cannot be written (read-only, full) is opened too: cached
    /// blobs are served, and [`Cache::writable`] returns why nothing is added.
    pub fn open(settings: CacheSettings) -> Result<Self, CacheError> {
        Self::open_with(settings, FaultPoints::default())
    }

    /// The same with fault points that a test controls.
    pub(crate) fn open_with(settings: CacheSettings, faults: FaultPoints) -> Result<Self, CacheError> {
        Self::open_with_seals(settings, Seals::default(), faults)
    }

    pub(super) fn open_with_seals(
        settings: CacheSettings,
        seals: Seals,
        faults: FaultPoints,
    ) -> Result<Self, CacheError> {
        Ok(Self { store: Arc::new(Store::open(settings, seals, faults)?) })
    }

    /// Opens the verified blob of this digest and counts that as a use. `None` if it is not cached, if it cannot be opened, or
    /// if its file is not the one that was verified. Blocks for one `open(2)` unless the blob is open already; then ask
    /// [`Cache::is_unchanged`].
    pub fn get(&self, digest: &Digest) -> Option<Entry> {
        self.store.get(digest)
    }

    /// Records that a blob's file has the right bytes, whatever it has.
    #[cfg(test)]
    pub(crate) fn claim_verified(&self, digest: &Digest) {
        let (serial, _) = self.store.index().unverified(digest).unwrap();
        let file = super::identity::Identity::at(&self.store.dir.blob(digest)).unwrap();
        let proof = super::record::Proof { file, at: SystemTime::now(), verity: None };
        assert!(self.store.prove(digest, serial, proof, None));
    }

    /// Returns the blob of this digest if it is open already (held by an [`Entry`], or kept open since its last use), and
    /// counts that as a use. `None` does not mean that it is not cached: call [`Cache::get`] on a blocking thread to find
    /// out. Never blocks. Its file may have been changed since it was opened: ask [`Cache::is_unchanged`].
    pub fn get_if_open(&self, digest: &Digest) -> Option<Entry> {
        self.store.index().opened(digest, SystemTime::now()).map(Entry::new)
    }

    /// Whether the file of an open blob is as it was when it was verified: one system call, which does not wait for the disk.
    /// If it was changed or removed, the blob is unverified from now on, and its next use opens the file again.
    pub fn is_unchanged(&self, entry: &Entry) -> bool {
        self.store.confirm(entry, entry.blob().is_unchanged())
    }

    /// Whether bytes that were read from an open blob until now are the verified ones: as [`Cache::is_unchanged`], except that
    /// the file may have been removed since, because that changes no byte.
    pub fn is_intact(&self, entry: &Entry) -> bool {
        self.store.confirm(entry, entry.blob().is_intact())
    }

    /// The size of the verified blob of this digest in bytes. `None` if it is not cached. Counts as no use and never blocks.
    pub fn size_of(&self, digest: &Digest) -> Option<u64> {
        self.store.index().presence(digest).filter(|(is_verified, _)| *is_verified).map(|(_, size)| size)
    }

    /// The size of the blob of this digest in bytes if it is on the disk and unverified. Counts as no use and never blocks.
    pub fn unverified_size_of(&self, digest: &Digest) -> Option<u64> {
        self.store.index().unverified(digest).map(|(_, size)| size)
    }

    /// Makes the records of verified blobs durable that were added since the last call. Without it they are saved within a
    /// minute by [`Cache::scrub_loop`], and when the cache is closed; a blob without a durable record is hashed again after a
    /// crash. Blocks.
    pub fn save_records(&self) {
        self.store.save_records();
    }

    /// Whether the file system gives the same file other inode or device numbers from time to time, so that every blob is
    /// unverified after a start.
    pub fn is_renumbered(&self) -> bool {
        self.store.is_renumbered()
    }

    /// Reserves `size` bytes for a blob and returns its partial. It resumes where an earlier fill of the same digest and
    /// size left off, else it is empty. Evicts what is necessary. Does not check whether the blob is cached already. Blocks.
    ///
    /// Written parts are counted in units of `part_size` bytes, also if the earlier fill used another unit.
    ///
    /// Fails with [`CacheError::Busy`] while another [`Partial`] of the digest exists and has not ended, with
    /// [`CacheError::NoSpace`] if evicting does not free enough, and with [`CacheError::Io`] or [`CacheError::Locked`] if
    /// the directory cannot be written.
    pub fn partial(&self, digest: &Digest, size: u64, part_size: u64) -> Result<Partial, CacheError> {
        Partial::begin(&self.store, digest, size, part_size)
    }

    /// Protects the blob of this digest against eviction, whether it is cached already or not. Pins are counted: each one
    /// needs its own [`Cache::unpin`].
    pub fn pin(&self, digest: &Digest) {
        self.store.index().pin(digest);
    }

    /// Removes one pin.
    pub fn unpin(&self, digest: &Digest) {
        self.store.index().unpin(digest);
    }

    /// Whether the blob of this digest is pinned, cached or not.
    pub fn is_pinned(&self, digest: &Digest) -> bool {
        self.store.index().is_pinned(digest)
    }

    /// Has every eviction logged by `log`, in place of the cache's own line, which knows no names. `log` gets the digest and the
    /// size in bytes; it must not call the cache. Only the first call has an effect.
    pub fn set_eviction_log(&self, log: impl Fn(&Digest, u64) + Send + Sync + 'static) {
        self.store.set_eviction_log(Box::new(log));
    }

    /// Removes a blob and returns its size. Fails if it is pinned or being read. Blocks.
    pub fn evict(&self, digest: &Digest) -> Result<u64, EvictError> {
        self.store.evict(digest)
    }

    /// Moves a blob to `DIR/quarantine`, so that it is fetched again at the next request. Readers keep their open file.
    /// Returns whether it was cached. At most 16 blobs are kept in quarantine, and they are the first to be evicted. Blocks.
    pub fn quarantine(&self, digest: &Digest) -> bool {
        self.store.quarantine(digest, None)
    }

    /// Returns whether the directory can be written, else the reason as one sentence. Never blocks.
    ///
    /// This is the result of the last probe. If that is older than a few seconds, a new probe starts in the background and
    /// the next call returns its result: the cache recovers when its disk does, and a deleted directory is created again.
    pub fn writable(&self) -> Result<(), String> {
        if self.store.health.begin_probe() {
            let store = Arc::clone(&self.store);
            let probe = thread::Builder::new().name("cache-probe".to_owned()).spawn(move || drop(store.probe()));
            if probe.is_err() {
                self.store.health.end_probe();
            }
        }
        self.store.health.problem().map_or(Ok(()), Err)
    }

    /// Why nothing is added although the directory can be written: the disk has too little space, and evicting does not make
    /// up for it. One sentence, as of the last probe or fill. Never blocks.
    pub fn shortage(&self) -> Option<String> {
        self.store.health.shortage()
    }

    /// Probes the directory now, evicts if other files have left less than `min_free` on the disk, and returns whether blobs can be added, else the reason as one sentence. Blocks.
    pub fn probe(&self) -> Result<(), String> {
        // The store keeps the error as a sentence.
        let _ = self.store.probe();
        self.store.health.problem().map_or(Ok(()), Err)
    }

    /// Whether its directory exists and could be written at the last probe. Others that keep files in it must not write
    /// before the cache has created a deleted directory again. Blocks for one `stat(2)`.
    pub fn is_available(&self) -> bool {
        self.store.health.problem().is_none() && self.dir().is_dir()
    }

    /// Its directory.
    pub fn dir(&self) -> &Path {
        self.store.dir.root()
    }

    /// Bytes that are free on the file system for this process; `u64::MAX` if the system does not report it. One system
    /// call.
    pub fn free(&self) -> u64 {
        self.store.dir.free()
    }

    /// Bytes that are kept free on the file system.
    pub fn min_free(&self) -> u64 {
        self.store.index().min_free()
    }

    /// The most bytes that blobs of these digests can have in the cache together, those that are cached included. Other
    /// blobs may be evicted for them, unless they are pinned, read or being filled. One system call.
    pub fn capacity_for(&self, digests: &HashSet<Digest>) -> u64 {
        let free = self.free();
        self.store.index().capacity_for(digests, free)
    }

    /// How full it is. Never blocks.
    pub fn stats(&self) -> CacheStats {
        self.store.index().stats()
    }

    /// All blobs, verified or not, in no order. Never blocks.
    pub fn list(&self) -> Vec<BlobInfo> {
        self.store.index().list()
    }

    /// How many pins each digest has.
    #[cfg(test)]
    pub(crate) fn pins(&self) -> std::collections::BTreeMap<Digest, usize> {
        self.store.index().pins()
    }
}
