//! What sealing does to the identity of a blob's file. ext4 sets its times (measured with Linux 6.1), and not a byte changes:
//! the kernel lets no process write to the file while it builds the tree, nor later.

use std::sync::Arc;

use super::Index;
use crate::asset::Digest;
use crate::cache::identity::Identity;
use crate::cache::record::Record;

/// The last time that this process sealed a blob's file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cache) struct SealChange {
    /// The identity of the file before.
    pub(in crate::cache) before: Identity,
    /// The identity of the file since. `None` while the kernel seals it.
    pub(in crate::cache) after: Option<Identity>,
}

impl SealChange {
    /// Whether a file that had the identity `known` has the same bytes under the identity `found`.
    pub(in crate::cache) fn explains(&self, known: &Identity, found: &Identity) -> bool {
        *known == self.before
            && match &self.after {
                Some(after) => found == after,
                None => found.is_same_but_times(known),
            }
    }
}

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
