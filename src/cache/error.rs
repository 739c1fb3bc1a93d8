//! Why the cache cannot do what was asked.

use std::io;
use std::path::{Path, PathBuf};

use crate::asset::Digest;

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
    /// The proof is of the right digest and of another number of bytes than the partial has.
    #[error("{proven} bytes of {digest} were proven, the partial has {expected}")]
    OtherSize {
        /// The digest of both.
        digest: Digest,
        /// The partial's size.
        expected: u64,
        /// The proof's.
        proven: u64,
    },
    /// The partial was admitted or discarded before (a caller's mistake).
    #[error("the partial of {0} was admitted or discarded already")]
    Ended(Digest),
}

/// Why a blob was not evicted although someone asked for it.
#[derive(Debug, thiserror::Error)]
pub enum EvictError {
    /// It is not here.
    #[error("the blob {0} is not in the cache")]
    Absent(Digest),
    /// A pin holds it.
    #[error("the blob {0} is pinned; unpin it first")]
    Pinned(Digest),
    /// A reader holds it.
    #[error("the blob {0} is being read; try again when the transfer has ended")]
    Held(Digest),
    /// The disk would not remove it.
    #[error(transparent)]
    Failed(#[from] CacheError),
}

impl CacheError {
    /// Turns the system's error into one that says what was being done, and where.
    pub(super) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |error| Self::Io { action, path: path.to_owned(), error }
    }

    /// The same error, said of `wanted` bytes where it comes from want of room.
    pub(super) fn wanting(self, wanted: u64) -> Self {
        match self {
            Self::NoSpace { reason, .. } => Self::NoSpace { wanted, reason },
            full if full.is_full() => Self::NoSpace { wanted, reason: full.to_string() },
            other => other,
        }
    }

    /// Whether the system says that the disk is full, or a quota of it.
    pub(super) fn is_full(&self) -> bool {
        matches!(self, Self::Io { error, .. }
            if matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded))
    }

    /// Whether the system says that the file, or a directory on the way to it, is not there.
    pub(super) fn is_absent(&self) -> bool {
        matches!(self, Self::Io { error, .. } if error.kind() == io::ErrorKind::NotFound)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_who_holds_the_directory_and_what_to_do() {
        let error = CacheError::Locked { dir: "/var/cache/bootdepot".into(), pid: "71".into() };
        assert_eq!(
            error.to_string(),
            "the cache /var/cache/bootdepot is in use by process 71; stop it, or give this one another [cache] dir"
        );
    }

    #[test]
    fn says_what_was_being_done_and_where() {
        let error = CacheError::io("create", Path::new("/c/partial/x"))(io::Error::from_raw_os_error(28));
        assert_eq!(error.to_string(), "create /c/partial/x: No space left on device (os error 28)");
        assert!(error.is_full() && !error.is_absent());
    }
}
