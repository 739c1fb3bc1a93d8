//! The beginning and the end of the seal of a blob's file.

use std::sync::Arc;

use super::Index;
use super::seal_change::SealChange;
use crate::asset::Digest;
use crate::cache::identity::Identity;
use crate::cache::record::Record;

impl<T> Index<T> {
    /// Notes that the kernel is about to seal the file of a blob, whose identity is `before`. Returns the serial of the blob;
    /// `None` if it is not on the disk, or is being sealed already.
    pub(in crate::cache) fn begin_seal(&mut self, digest: &Digest, before: Identity) -> Option<u64> {
        let blob = self.blobs.get_mut(digest)?;
        if blob.seal.is_some_and(|seal| seal.after.is_none()) {
            return None;
        }
        blob.seal = Some(SealChange { before, after: None });
        Some(blob.serial)
    }

    /// Notes that the kernel has ended, and that the file has the identity `after` since. A proof of the file holds under that
    /// identity too. Returns the record to save, and a file to close, so that the next use opens it under that identity.
    pub(in crate::cache) fn end_seal(
        &mut self,
        digest: &Digest,
        serial: u64,
        after: Identity,
    ) -> (Option<Record>, Option<Arc<T>>) {
        let is_meant = self.blobs.get(digest).is_some_and(|blob| blob.serial == serial);
        let Some(mut blob) = is_meant.then(|| self.take(digest)).flatten() else { return (None, None) };
        let (mut record, mut closed) = (None, None);
        if let Some(seal) = &mut blob.seal {
            seal.after = Some(after);
            if seal.before != after
                && let Some(proof) = blob.proof.as_mut().filter(|proof| proof.file == seal.before)
            {
                proof.file = after;
                closed = blob.open.take();
                record = Some(blob.record(digest));
            }
        }
        self.put(*digest, blob);
        (record, closed)
    }

    /// The last time that this process sealed the file of a blob.
    pub(in crate::cache) fn seal_change(&self, digest: &Digest) -> Option<SealChange> {
        self.blobs.get(digest).and_then(|blob| blob.seal)
    }
}
