//! The cache: proven blobs on one disk. Admit, open, evict, scrub, recover. It knows no origins and no names.
//!
//! Layout of the directory (`DIR`):
//! `DIR/lock` the holder's pid under an advisory lock; `DIR/blobs/sha256/XX/HEX` a proven blob, read-only, named by its
//! digest; `DIR/partial/HEX` the bytes of a fill under way and `DIR/partial/HEX.map` what of it is here;
//! `DIR/quarantine/HEX` a blob that rotted. A blob's modification time is when its bytes were last hashed, its access
//! time when it was last asked for.

mod dir;
mod entry;
mod error;
mod health;
mod index;
mod lock;
mod map;
mod partial;
mod parts;
mod scan;
mod scrub;
mod stats;
mod store;
mod survey;
#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::SystemTime;

pub use entry::Entry;
pub use error::{CacheError, EvictError};
pub use partial::Partial;
pub use scrub::ScrubOutcome;
pub use stats::{CacheStats, Listed};
pub use survey::Survey;

use crate::asset::Digest;
use crate::fault_points::FaultPoints;
use store::Store;

/// Where the cache is and how large it may grow.
#[derive(Debug, Clone)]
pub struct CacheSettings {
    /// Its directory.
    pub dir: PathBuf,
    /// The most bytes that blobs and partials may take.
    pub max_size: u64,
    /// Bytes left free on the file system whatever `max_size` says.
    pub min_free: u64,
}

/// A disk cache of proven blobs. Cheap to clone; all clones are one cache.
#[derive(Clone)]
pub struct Cache {
    store: Arc<Store>,
}

impl Cache {
    /// Opens or creates the cache in `settings.dir`, takes its lock, and learns what is there from names and sizes alone.
    /// Blocks.
    ///
    /// A directory that cannot be written (read-only, full) still opens: what is there is served, and
    /// [`Cache::writable`] says why nothing is added. [`CacheError::Locked`] is the one error.
    pub fn open(settings: CacheSettings) -> Result<Self, CacheError> {
        Self::open_with(settings, FaultPoints::default())
    }

    fn open_with(settings: CacheSettings, faults: FaultPoints) -> Result<Self, CacheError> {
        Ok(Self { store: Arc::new(Store::open(settings, faults)?) })
    }

    /// Opens the blob of this digest, if it is here, and counts it as used. Blocks for one `open(2)` unless the blob is
    /// open already.
    pub fn get(&self, digest: &Digest) -> Option<Entry> {
        self.store.get(digest)
    }

    /// The blob of this digest if it is open already (held by an [`Entry`], or kept open since its last use); counts as
    /// a use and never blocks. `None` says nothing of whether the blob is here: ask [`Cache::get`] on a blocking thread.
    pub fn opened(&self, digest: &Digest) -> Option<Entry> {
        self.store.index().opened(digest, SystemTime::now()).map(Entry::new)
    }

    /// Whether the blob is here, and its size; counts as no use and never blocks.
    pub fn size_of(&self, digest: &Digest) -> Option<u64> {
        self.store.index().size_of(digest)
    }

    /// Room for a blob of `size` bytes, resumed where an earlier fill of the same digest and size left off, else new and
    /// empty. What is here is told in parts of `part_size` bytes, whatever those of the earlier fill were. Evicts what it must. Blocks. It does not look whether the blob is here already.
    ///
    /// [`CacheError::Busy`] while another [`Partial`] of the digest lives and is not ended; [`CacheError::NoSpace`] where
    /// evicting does not help; [`CacheError::Io`] or [`CacheError::Locked`] where the directory cannot be written.
    pub fn partial(&self, digest: &Digest, size: u64, part_size: u64) -> Result<Partial, CacheError> {
        Partial::begin(&self.store, digest, size, part_size)
    }

    /// Holds the blob of this digest against eviction, whether it is here already or not. Pins add up: it is held until
    /// each was let go of.
    pub fn pin(&self, digest: &Digest) {
        self.store.index().pin(digest);
    }

    /// Lets go of one pin.
    pub fn unpin(&self, digest: &Digest) {
        self.store.index().unpin(digest);
    }

    /// Whether a pin holds the blob of this digest, whether it is here or not.
    pub fn is_pinned(&self, digest: &Digest) -> bool {
        self.store.index().is_pinned(digest)
    }

    /// Removes a blob that nobody holds, and returns its size. Blocks.
    pub fn evict(&self, digest: &Digest) -> Result<u64, EvictError> {
        self.store.evict(digest)
    }

    /// Moves a blob to `DIR/quarantine`, so that it is fetched again when it is next asked for. Readers keep what they
    /// have open. Returns whether it was here. At most 16 are kept there, and they go first when room is wanted. Blocks.
    pub fn quarantine(&self, digest: &Digest) -> bool {
        self.store.quarantine(digest, None)
    }

    /// Whether blobs can be added now; else why not, as one sentence. Never blocks.
    ///
    /// This is what was last seen. Where that was more than a few seconds ago, a look at the disk begins in the
    /// background, and the next call says what it found: a cache heals when its disk comes back, and a directory that
    /// vanished is made again.
    pub fn writable(&self) -> Result<(), String> {
        if self.store.health.is_due() {
            let store = Arc::clone(&self.store);
            let look = thread::Builder::new().name("cache-probe".to_owned()).spawn(move || drop(store.probe()));
            if look.is_err() {
                self.store.health.looked();
            }
        }
        self.store.health.trouble().map_or(Ok(()), Err)
    }

    /// The same, looked at now. Blocks.
    pub fn probe(&self) -> Result<(), String> {
        // The answer is kept as a sentence.
        let _ = self.store.probe();
        self.store.health.trouble().map_or(Ok(()), Err)
    }

    /// Whether its directory is there and could be written when that was last seen, for what others keep in it: what went
    /// with a directory that vanished has to wait until the cache has made another. Blocks for a look at its name.
    pub fn is_there(&self) -> bool {
        self.store.health.trouble().is_none() && self.dir().is_dir()
    }

    /// Its directory.
    pub fn dir(&self) -> &Path {
        self.store.dir.root()
    }

    /// Bytes that the file system still gives this process; `u64::MAX` where it does not say. One system call.
    pub fn free(&self) -> u64 {
        self.store.dir.free()
    }

    /// Bytes that are left free on the file system.
    pub fn min_free(&self) -> u64 {
        self.store.index().floor()
    }

    /// How many bytes of blobs of these digests could be in the cache, those that are here included, if none of them were
    /// to go for another: what is pinned, read or being filled for others stays. One system call.
    pub fn room_for(&self, digests: &HashSet<Digest>) -> u64 {
        let free = self.free();
        self.store.index().room_for(digests, free)
    }

    /// How full it is. Never blocks.
    pub fn stats(&self) -> CacheStats {
        self.store.index().stats()
    }

    /// All proven blobs, in no order. Never blocks.
    pub fn list(&self) -> Vec<Listed> {
        self.store.index().list()
    }

    /// How many pins each digest has.
    #[cfg(test)]
    pub(crate) fn pins(&self) -> std::collections::BTreeMap<Digest, usize> {
        self.store.index().pins()
    }
}
