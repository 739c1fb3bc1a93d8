//! Seals blobs in the background, after their admission.

use std::fs::File;
use std::io;
use std::ops::ControlFlow;
use std::os::unix::fs::MetadataExt;
use std::time::Duration;

use super::Cache;
use super::dir::Dir;
use super::identity::Identity;
use super::index::SealChange;
use super::scrub::REST;
use super::seal::{SealError, SealPolicy, SealRequest, SealSupport};
use super::store::Store;
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
        match self.seal_file(&digest, &file) {
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
            let _ = self.seal_file(digest, file);
        }
    }

    /// Seals the file of a blob. That changes the times of the file, and so its identity; the blob stays verified, and readers
    /// need not notice.
    pub(super) fn seal_file(&self, digest: &Digest, file: &File) -> Result<(), SealError> {
        let (store, sealer) = (&self.store, &self.store.sealer);
        if !sealer.is_active() || sealer.measure(file).is_some() {
            return Ok(());
        }
        let before = Identity::of(file)?;
        // Another thread seals it.
        let serial = store.index().begin_seal(digest, before).ok_or(SealError::Busy)?;
        let sealed = sealer.seal(digest, file);
        let after = match &sealed {
            // A change is one of the process that has it open.
            Err(SealError::Busy) => Ok(before),
            // Also if it failed, for lack of space: the kernel has removed a part of the tree again.
            _ => Identity::of(file),
        };
        store.end_seal(digest, serial, after.unwrap_or(before));
        sealed
    }

    /// Whether a blob was unverified, and is verified by its seal now.
    pub(super) fn is_proven_by_seal(&self, digest: &Digest) -> bool {
        self.store.index().unverified(digest).is_some() && self.get(digest).is_some()
    }
}

impl Store {
    /// The identity of an open file of a blob. While the kernel seals the file, which changes its times, that is the identity
    /// that it had before.
    pub(super) fn identity_of(&self, digest: &Digest, file: &File) -> io::Result<Identity> {
        let found = Identity::of(file)?;
        let seal = self.index().seal_change(digest);
        match seal {
            Some(SealChange { before, after: None }) if found.is_same_but_times(&before) => Ok(before),
            // The seal may have ended just now.
            Some(SealChange { after: Some(_), .. }) => Identity::of(file),
            _ => Ok(found),
        }
    }

    /// Whether an open file of a blob has another identity than the `known` one only because it was sealed since, or is being
    /// sealed.
    pub(super) fn is_changed_by_seal(&self, digest: &Digest, known: &Identity, file: &File) -> bool {
        let seal = self.index().seal_change(digest);
        // Asked for the file after the seal: only while the seal is running does it allow other times.
        seal.is_some_and(|seal| Identity::of(file).is_ok_and(|found| seal.explains(known, &found)))
    }

    /// Notes that the file of a blob has the identity `after` since its seal.
    fn end_seal(&self, digest: &Digest, serial: u64, after: Identity) {
        let (record, closed) = self.index().end_seal(digest, serial, after);
        drop(closed);
        if let Some(record) = record {
            self.records.add(record);
        }
    }
}
