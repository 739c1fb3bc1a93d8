//! Seals blobs in the background, after their admission.

use std::ops::ControlFlow;
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
            self.seal(request, &mut |worked, _| {
                if queue.is_closed() {
                    return ControlFlow::Break(());
                }
                std::thread::sleep(worked * REST);
                ControlFlow::Continue(())
            });
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
        // Held so that the blob stays open: no request opens it while its identity changes.
        let Some(_entry) = self.get(&request.digest) else { return };
        match self.seal_file(&request.digest) {
            // The scrub logs and counts its outcome.
            Ok(()) => drop(self.scrub(&request.digest, pace)),
            Err(SealError::Busy) => {
                let digest = request.digest;
                if !self.store.sealer.queue().retry(request) {
                    self.store.sealer.count_failure(&digest, &SealError::Busy);
                }
            }
            // The sealer has logged and counted it.
            Err(_) => {}
        }
    }

    fn seal_file(&self, digest: &Digest) -> Result<(), SealError> {
        // A file that cannot be opened is reported to its readers.
        Dir::open(&self.store.dir.blob(digest)).map_or(Ok(()), |file| self.store.sealer.seal(digest, &file))
    }
}
