//! The seals of one cache: whether its blobs are sealed, which ones wait for it, and how many could not be.

use std::fs::File;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use metrics::{counter, gauge};
use parking_lot::Mutex;
use tracing::{debug, info, warn};

use super::file::{SealDigest, SealError, Seals};
use super::policy::SealPolicy;
use super::queue::SealQueue;
use super::support::SealSupport;
use crate::asset::Digest;
use crate::cache::CacheError;

/// The seals of one cache.
#[derive(Debug)]
pub(in crate::cache) struct Sealer {
    policy: SealPolicy,
    seals: Seals,
    support: Mutex<SealSupport>,
    queue: SealQueue,
    /// Whether a failure was logged: more of them are counted only.
    logged: AtomicBool,
}

impl Sealer {
    pub(in crate::cache) fn new(policy: SealPolicy, seals: Seals) -> Self {
        let support = Mutex::new(SealSupport::Unknown("no file was sealed so far".to_owned()));
        Self { policy, seals, support, queue: SealQueue::default(), logged: AtomicBool::new(false) }
    }

    /// Tries whether files in `dir` can be sealed, and remembers the answer. Blocks.
    ///
    /// Fails with [`CacheError::Unsealable`] if they cannot, and the settings require it.
    pub(in crate::cache) fn probe(&self, dir: &Path) -> Result<(), CacheError> {
        let support = SealSupport::of(dir, &self.seals);
        if self.policy != SealPolicy::Off {
            match &support {
                SealSupport::Unsupported(reason) => info!(dir = %dir.display(), reason, "blobs are not sealed"),
                SealSupport::Unknown(reason) => debug!(dir = %dir.display(), reason, "seal support unknown"),
                SealSupport::Supported => {}
            }
        }
        gauge!("bootdepot_cache_seal_supported").set(if support == SealSupport::Supported { 1.0 } else { 0.0 });
        *self.support.lock() = support.clone();
        match support {
            SealSupport::Unsupported(reason) if self.policy == SealPolicy::Require => {
                Err(CacheError::Unsealable { dir: dir.to_owned(), reason })
            }
            _ => Ok(()),
        }
    }

    /// Forgets the answer.
    pub(in crate::cache) fn forget_support(&self) {
        *self.support.lock() = SealSupport::Unknown("the directory was replaced".to_owned());
    }

    /// Whether to try again: a fault hid the answer, or nothing may be added before the answer is another one.
    pub(in crate::cache) fn is_unsettled(&self) -> bool {
        match &*self.support.lock() {
            SealSupport::Supported => false,
            SealSupport::Unsupported(_) => self.policy == SealPolicy::Require,
            SealSupport::Unknown(_) => true,
        }
    }

    /// Whether files in the cache can be sealed, as of the last probe.
    pub(in crate::cache) fn support(&self) -> SealSupport {
        self.support.lock().clone()
    }

    /// The setting.
    pub(in crate::cache) fn policy(&self) -> SealPolicy {
        self.policy
    }

    /// Whether blobs are to be sealed, and can be.
    pub(in crate::cache) fn is_active(&self) -> bool {
        self.policy != SealPolicy::Off && *self.support.lock() == SealSupport::Supported
    }

    /// The permissions of a new blob.
    pub(in crate::cache) fn blob_mode(&self) -> u32 {
        // The kernel seals only files that the caller may write. Permissions cannot be changed later, because that changes the
        // identity of a blob that is being read.
        if self.policy == SealPolicy::Off { 0o444 } else { 0o644 }
    }

    /// The blobs that wait for their seals.
    pub(in crate::cache) fn queue(&self) -> &SealQueue {
        &self.queue
    }

    /// Seals a blob's file, open to read only, if blobs are to be sealed; it may be sealed already. Counts a failure, except
    /// that the file is open for writing, and logs the first one. Blocks while the kernel reads all of the file.
    pub(in crate::cache) fn seal(&self, digest: &Digest, file: &File) -> Result<(), SealError> {
        if !self.is_active() {
            return Ok(());
        }
        let sealed = self.seals.seal(file);
        if let Err(error) = &sealed
            && !matches!(error, SealError::Busy)
        {
            self.count_failure(digest, error);
        }
        sealed
    }

    /// Counts a blob that was not sealed, and logs the first one.
    pub(in crate::cache) fn count_failure(&self, digest: &Digest, error: &SealError) {
        counter!("bootdepot_cache_seal_failures_total").increment(1);
        if self.logged.swap(true, Ordering::Relaxed) {
            debug!(%digest, %error, "blob not sealed");
        } else {
            warn!(%digest, %error, "blob not sealed; further failures are counted only");
        }
    }

    /// The digest of a file's seal; `None` if it is not sealed, or if that cannot be found out. Reads no contents.
    pub(in crate::cache) fn measure(&self, file: &File) -> Option<SealDigest> {
        self.seals.measure(file).unwrap_or_else(|error| {
            debug!(%error, "seal not measured");
            None
        })
    }
}
