//! Seals blobs in the background, after their admission.

use std::fs::File;
use std::ops::ControlFlow;
use std::os::unix::fs::MetadataExt;
use std::time::Duration;

use super::Cache;
use super::dir::Dir;
use super::scrub::REST;
use super::seal::{SealError, SealPolicy, SealRequest, SealSupport};
use crate::asset::Digest;

impl Cache {
    /// Whether the file system of the cache can seal blobs, as found when it was opened. Never blocks.
    pub fn seal_support(&self) -> SealSupport {
        self.store.sealer.support()
    }

    /// Whether blobs are to be sealed.
    pub fn seal_policy(&self) -> SealPolicy {
        self.store.sealer.policy()
    }

    /// Seals each blob after its admission, once nothing has its file open for writing, and hashes it again after that, as
    /// slowly as the scrub. Runs on a thread of its own, until [`Cache::stop_sealing`].
    pub fn seal_loop(&self) {
        let queue = self.store.sealer.queue();
        while let Some(request) = queue.wait_due() {
            self.seal(request, &mut |worked, _| queue.rest(worked * REST));
        }
    }

    /// Seals the blobs that were admitted so far, as fast as the disk allows. A blob whose file is open for writing stays
    /// unsealed. Blocks.
    pub fn seal_admitted(&self) {
        while let Some(request) = self.store.sealer.queue().take_due() {
            self.seal(request, &mut |_, _| ControlFlow::Continue(()));
        }
    }

    /// Ends [`Cache::seal_loop`]. Does not wait until the kernel has built the Merkle tree of the blob that it seals now: the
    /// exit of the process interrupts that, and the blob stays unsealed.
    pub fn stop_sealing(&self) {
        self.store.sealer.queue().close();
    }

    fn seal(&self, request: SealRequest, pace: &mut dyn FnMut(Duration, u64) -> ControlFlow<()>) {
        let digest = request.digest;
        // A file that cannot be opened is reported to its readers.
        let Ok(file) = Dir::open(&self.store.dir.blob(&digest)) else { return };
        match self.store.sealer.seal(&digest, &file) {
            // The scrub logs and counts its outcome.
            Ok(()) => drop(self.scrub(&digest, pace)),
            Err(SealError::Busy) => {
                if !self.store.sealer.queue().retry(request) {
                    self.store.sealer.count_failure(&digest, &SealError::Busy);
                }
            }
            // The sealer has logged and counted it.
            Err(_) => {}
        }
    }

    /// Seals a blob that is about to be hashed, if it was not sealed after its admission: the program was stopped, or the file
    /// system could not seal files then. A blob that was admitted while seals were off stays as it is.
    pub(super) fn seal_unsealed(&self, digest: &Digest, file: &File) {
        // The permissions stay as they are: changing them would change the identity of a file that is being read.
        if file.metadata().is_ok_and(|meta| meta.mode() & 0o200 != 0) {
            // Counted and logged by the sealer. The blob is hashed all the same.
            let _ = self.store.sealer.seal(digest, file);
        }
    }

    /// Whether a blob was unverified, and is verified by its seal now.
    pub(super) fn is_proven_by_seal(&self, digest: &Digest) -> bool {
        self.store.index().unverified(digest).is_some() && self.get(digest).is_some()
    }
}
