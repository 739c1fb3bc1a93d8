//! The errors of the cache.

use std::io;
use std::path::{Path, PathBuf};

use crate::asset::Digest;
use crate::error_chain::error_chain;

/// Why a cache operation failed.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// Another process has the cache open.
    #[error("the cache {dir} is in use by process {pid}; stop it, or give this one another [cache] dir")]
    Locked {
        /// The directory.
        dir: PathBuf,
        /// The lock holder, as written in the lock file.
        pid: String,
    },
    /// `[cache] seal` requires seals, and the file system cannot seal files.
    #[error("[cache] seal is \"require\", but blobs in {dir} cannot be sealed: {reason}")]
    Unsealable {
        /// The directory.
        dir: PathBuf,
        /// The reason and the remedy.
        reason: String,
    },
    /// There is not enough space, even after evicting all that may be evicted.
    #[error("no space for {wanted} bytes: {reason}")]
    NoSpace {
        /// Bytes that were requested.
        wanted: u64,
        /// Which limit was reached.
        reason: String,
    },
    /// The disk failed, is read-only, or the directory was deleted.
    #[error("{action} {path}")]
    Io {
        /// The operation, such as `fsync`.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The system's error.
        #[source]
        error: io::Error,
    },
    /// The digest is being filled already: a caller's mistake, because fills are single flight.
    #[error("the blob {0} is being filled already")]
    Busy(Digest),
    /// The verified bytes have another digest than the partial.
    #[error("the verified bytes have the digest {verified}, the partial is of {expected}")]
    OtherDigest {
        /// The partial's digest.
        expected: Digest,
        /// The digest of the verified bytes.
        verified: Digest,
    },
    /// The verified bytes have the right digest, and another size than the partial.
    #[error("{verified} bytes of {digest} were verified, the partial has {expected}")]
    OtherSize {
        /// The digest of both.
        digest: Digest,
        /// The partial's size.
        expected: u64,
        /// How many bytes were verified.
        verified: u64,
    },
    /// The partial was admitted or discarded before: a caller's mistake.
    #[error("the partial of {0} was admitted or discarded already")]
    Ended(Digest),
}

/// Why a request to evict a blob failed.
#[derive(Debug, thiserror::Error)]
pub enum EvictError {
    /// It is not cached.
    #[error("the blob {0} is not in the cache")]
    Missing(Digest),
    /// It is pinned.
    #[error("the blob {0} is pinned; unpin it first")]
    Pinned(Digest),
    /// It is being read.
    #[error("the blob {0} is being read; try again when the transfer has ended")]
    Held(Digest),
    /// It could not be removed from the disk.
    #[error(transparent)]
    Failed(#[from] CacheError),
}

impl CacheError {
    /// Adds the operation and the path to a system error.
    pub(super) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |error| Self::Io { action, path: path.to_owned(), error }
    }

    /// The same error. If it means that the disk is full, it becomes [`CacheError::NoSpace`] for `wanted` bytes.
    pub(super) fn for_size(self, wanted: u64) -> Self {
        match self {
            Self::NoSpace { reason, .. } => Self::NoSpace { wanted, reason },
            full if full.is_full() => Self::NoSpace { wanted, reason: error_chain(&full).to_string() },
            other => other,
        }
    }

    /// Whether the disk or a quota is full.
    pub(super) fn is_full(&self) -> bool {
        matches!(self, Self::Io { error, .. }
            if matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded))
    }

    /// Whether there is something else than a regular file in the file's place.
    pub(super) fn is_irregular(&self) -> bool {
        matches!(self, Self::Io { error, .. } if error.kind() == io::ErrorKind::InvalidInput)
    }

    /// Whether a file ended too early.
    pub(super) fn is_short(&self) -> bool {
        matches!(self, Self::Io { error, .. } if error.kind() == io::ErrorKind::UnexpectedEof)
    }

    /// Whether the disk cannot read a block (`EIO`), or a file system with checksums found it corrupt (`EUCLEAN`).
    pub(super) fn is_of_block(&self) -> bool {
        matches!(self, Self::Io { error, .. } if is_of_block(error))
    }

    /// Whether the file or one of its parent directories does not exist.
    pub(super) fn is_missing(&self) -> bool {
        matches!(self, Self::Io { error, .. } if error.kind() == io::ErrorKind::NotFound)
    }
}

/// Whether an error of reading an open file is about that file: a bad block, an early end, or a handle that the server of a
/// network file system does not know any more.
pub(super) fn is_of_file(error: &io::Error) -> bool {
    is_of_block(error) || error.kind() == io::ErrorKind::UnexpectedEof || error.raw_os_error() == Some(libc::ESTALE)
}

fn is_of_block(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EIO | libc::EUCLEAN))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locked_error_names_holder_and_remedy() {
        let error = CacheError::Locked { dir: "/var/cache/bootdepot".into(), pid: "71".into() };
        assert_eq!(
            error.to_string(),
            "the cache /var/cache/bootdepot is in use by process 71; stop it, or give this one another [cache] dir"
        );
    }

    #[test]
    fn io_error_names_action_and_path() {
        let error = CacheError::io("create", Path::new("/c/partial/x"))(io::Error::from_raw_os_error(28));
        assert_eq!(error_chain(&error).to_string(), "create /c/partial/x: No space left on device (os error 28)");
        assert!(error.is_full() && !error.is_missing());
    }
}
