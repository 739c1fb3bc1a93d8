//! The cache: proven blobs on one disk. Admit, open, evict, scrub, recover. It knows no origins and no names.
//!
//! Layout of the directory (`DIR`):
//! `DIR/lock` the holder's pid under an advisory lock; `DIR/blobs/sha256/XX/HEX` a proven blob, read-only, named by its
//! digest; `DIR/partial/HEX` the bytes of a fill under way and `DIR/partial/HEX.map` what of it is here;
//! `DIR/quarantine/HEX` a blob that rotted.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;

use crate::asset::{ByteRange, Digest, Proven};

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

/// Why the cache cannot do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// Another process holds the directory.
    #[error("the cache {dir} is in use by process {pid}; stop it, or give this one another [cache] dir")]
    Locked {
        /// The directory.
        dir: PathBuf,
        /// The holder, as the lock file says.
        pid: String,
    },
    /// There is no room, even after evicting all that may be evicted.
    #[error("no room for {wanted} bytes: {reason}")]
    NoSpace {
        /// Bytes asked for.
        wanted: u64,
        /// What stands in the way.
        reason: String,
    },
    /// The disk failed, is read-only, or the directory went away.
    #[error("{action} {path}: {error}")]
    Io {
        /// What was being done.
        action: &'static str,
        /// Where.
        path: PathBuf,
        /// The system's words.
        error: io::Error,
    },
    /// The digest of a partial is being filled already (a caller's mistake: fills are single flight).
    #[error("the blob {0} is being filled already")]
    Busy(Digest),
    /// What was proven is not what the partial is for.
    #[error("{proven} was proven, the partial is of {expected}")]
    OtherProof {
        /// The partial's digest.
        expected: Digest,
        /// The proof's.
        proven: Digest,
    },
}

/// A disk cache of proven blobs. Cheap to clone; all clones are one cache.
#[derive(Clone)]
pub struct Cache {
    _inner: Arc<()>,
}

/// An open, proven blob: while any clone of it lives, the blob is not evicted. Reads are of immutable bytes.
#[derive(Clone)]
pub struct Entry {
    _inner: Arc<()>,
}

/// A blob under way: preallocated room on the disk, and a persisted map of what is here.
///
/// Reads and writes at different offsets may go on at once from many threads; all of them block and belong on
/// blocking threads. Dropped without [`Partial::admit`] or [`Partial::discard`] it stays on the disk for a later resume.
pub struct Partial {}

impl Cache {
    /// Opens or creates the cache in `settings.dir`, takes its lock, and learns what is there from names and sizes alone.
    /// Blocks.
    ///
    /// A directory that cannot be written (read-only, full) still opens: what is there is served, and
    /// [`Cache::writable`] says why nothing is added.
    pub fn open(_settings: CacheSettings) -> Result<Self, CacheError> {
        unimplemented!()
    }

    /// Opens the blob of this digest, if it is here, and counts it as used. Blocks for one `open(2)` unless the blob is
    /// open already.
    pub fn get(&self, _digest: &Digest) -> Option<Entry> {
        unimplemented!()
    }

    /// The blob of this digest if it is open already (held by an [`Entry`], or kept open since its last use); counts as
    /// a use and never blocks. `None` says nothing of whether the blob is here: ask [`Cache::get`] on a blocking thread.
    pub fn opened(&self, _digest: &Digest) -> Option<Entry> {
        unimplemented!()
    }

    /// Whether the blob is here, and its size; counts as no use and never blocks.
    pub fn size_of(&self, _digest: &Digest) -> Option<u64> {
        unimplemented!()
    }

    /// Room for a blob of `size` bytes, resumed where an earlier fill of the same digest and size left off, else new
    /// and empty. Evicts what it must. Blocks.
    pub fn partial(&self, _digest: &Digest, _size: u64, _part_size: u64) -> Result<Partial, CacheError> {
        unimplemented!()
    }

    /// Holds the blob of this digest against eviction, whether it is here already or not.
    pub fn pin(&self, _digest: &Digest) {
        unimplemented!()
    }

    /// Lets go of a pin.
    pub fn unpin(&self, _digest: &Digest) {
        unimplemented!()
    }

    /// Whether blobs can be added now; else why not, as one sentence.
    pub fn writable(&self) -> Result<(), String> {
        unimplemented!()
    }
}

impl Entry {
    /// Its length in bytes.
    pub fn size(&self) -> u64 {
        unimplemented!()
    }

    /// Its digest.
    pub fn digest(&self) -> &Digest {
        unimplemented!()
    }

    /// The bytes of `range`, read into memory of their own. Blocks when they are not in the page cache.
    pub fn read(&self, _range: ByteRange) -> io::Result<Bytes> {
        unimplemented!()
    }

    /// The bytes of `range` if all of them are in the page cache, read into memory of their own; else `None`. Never blocks.
    pub fn read_resident(&self, _range: ByteRange) -> Option<Bytes> {
        unimplemented!()
    }

    /// The pages of `range` themselves, brought into memory first. Blocks when they are not in the page cache.
    ///
    /// For sockets alone: the kernel turns a page that cannot be read any more into an error of the system call, while
    /// user space that touches it would be killed. Hence nothing but `writev` and `sendmsg` may read these bytes.
    pub fn map(&self, _range: ByteRange) -> io::Result<Bytes> {
        unimplemented!()
    }

    /// The same if all pages are in memory now; else `None`. Never blocks.
    pub fn map_resident(&self, _range: ByteRange) -> Option<Bytes> {
        unimplemented!()
    }
}

impl Partial {
    /// The blob's size.
    pub fn size(&self) -> u64 {
        unimplemented!()
    }

    /// Which parts are here: one flag a part, in order.
    pub fn parts(&self) -> Vec<bool> {
        unimplemented!()
    }

    /// A note that the filler keeps with it (the source and its validator), as it was last set.
    pub fn note(&self) -> Option<String> {
        unimplemented!()
    }

    /// Keeps a note with the partial.
    pub fn set_note(&self, _note: &str) -> Result<(), CacheError> {
        unimplemented!()
    }

    /// Writes `pieces` one after the other from `offset` on.
    pub fn write_at(&self, _offset: u64, _pieces: &[Bytes]) -> Result<(), CacheError> {
        unimplemented!()
    }

    /// Reads into `buffer` from `offset` on; all of it, or an error.
    pub fn read_at(&self, _offset: u64, _buffer: &mut [u8]) -> Result<(), CacheError> {
        unimplemented!()
    }

    /// Marks part `index` as here, on the disk too: a restart will find it.
    pub fn finish_part(&self, _index: usize) -> Result<(), CacheError> {
        unimplemented!()
    }

    /// Forgets all parts: the bytes are of another object or were wrong. The room stays reserved.
    pub fn reset(&self) -> Result<(), CacheError> {
        unimplemented!()
    }

    /// Makes it a blob: fsync, rename to its digest, fsync of the directory, index. Readers that hold the partial go on
    /// reading the same file.
    pub fn admit(&self, _proof: Proven) -> Result<Entry, CacheError> {
        unimplemented!()
    }

    /// Removes it from the disk and gives its room back.
    pub fn discard(&self) {
        unimplemented!()
    }
}
