//! Which blobs are verified, which are to be hashed next, and what is to be recorded about them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::blob::Blob;
use super::seal_change::SealChange;
use super::{Index, tick};
use crate::asset::Digest;
use crate::cache::identity::Identity;
use crate::cache::record::{Proof, Record};
use crate::cache::scan::Found;

impl<T> Index<T> {
    /// Whether a blob is verified, and its size in bytes. `None` if it is not on the disk.
    pub(in crate::cache) fn presence(&self, digest: &Digest) -> Option<(bool, u64)> {
        self.blobs.get(digest).map(|blob| (blob.proof.is_some(), blob.size))
    }

    /// The serial and the size in bytes of a blob that is unverified.
    pub(in crate::cache) fn unverified(&self, digest: &Digest) -> Option<(u64, u64)> {
        self.blobs.get(digest).filter(|blob| blob.proof.is_none()).map(|blob| (blob.serial, blob.size))
    }

    /// Whether a blob was verified when its file had this identity, or had it before it was sealed.
    pub(in crate::cache) fn is_proven(&self, digest: &Digest, file: &Identity) -> bool {
        let Some(blob) = self.blobs.get(digest) else { return false };
        let is_before_seal = |proven: &Identity| blob.seal.is_some_and(|seal| seal.explains(file, proven));
        blob.proof.is_some_and(|proof| proof.file == *file || is_before_seal(&proof.file))
    }

    /// Adds the blobs that were found on the disk. One is verified if its file is the one that was recorded.
    pub(super) fn add_found(
        &mut self,
        found: &[Found],
        records: &HashMap<Digest, Record>,
        now: SystemTime,
    ) -> Option<Digest> {
        let mut renumbered = None;
        for Found { digest, file } in found {
            let known = self.blobs.get(digest);
            if known.is_some_and(|blob| blob.proof.map_or(blob.size == file.size, |proof| proof.file == *file)) {
                continue;
            }
            let record = records.get(digest);
            let recorded = record.and_then(|record| record.proof);
            let proof = recorded.filter(|proof| proof.file == *file);
            if recorded.is_some_and(|proof| proof.file.is_renumbered(file)) {
                renumbered = Some(*digest);
            }
            // For a file without a record, the best guess.
            let used = record.map_or(file.modified(), |record| record.used).min(now);
            let scrubbed = proof.map(|proof| proof.at.min(now));
            let outdated = recorded.filter(|recorded| proof.is_none() && recorded.verity.is_some());
            drop(self.insert(*digest, Blob { proof, outdated, scrubbed, ..Blob::new(file.size, used) }));
        }
        renumbered
    }

    /// Records that the file of a blob was hashed and has its bytes: `open` if it is to be kept open. Returns whether the
    /// blob of this serial is still there, and a file to close.
    pub(in crate::cache) fn prove(
        &mut self,
        digest: &Digest,
        serial: u64,
        mut proof: Proof,
        open: Option<Arc<T>>,
    ) -> (Option<Record>, Option<Arc<T>>) {
        let Some(mut blob) = self.take(digest) else { return (None, open) };
        let mut closed = open;
        let mut record = None;
        if blob.serial == serial {
            if let Some(SealChange { before, after: Some(after) }) = blob.seal
                && proof.file == before
            {
                // It was sealed while it was hashed. The next use opens it under its new identity.
                (proof.file, closed) = (after, None);
            }
            let is_same = blob.proof.is_some_and(|earlier| earlier.file == proof.file);
            // A file that is open for an earlier proof may be another one.
            if closed.is_some() || !is_same {
                closed = std::mem::replace(&mut blob.open, closed);
            }
            (blob.size, blob.proof, blob.outdated) = (proof.file.size, Some(proof), None);
            (blob.scrubbed, blob.suspect, blob.saved) = (Some(proof.at), false, blob.used);
            record = Some(blob.record(digest));
        }
        self.put(*digest, blob);
        (record, closed)
    }

    /// Makes a blob unverified because its file is another one, or was changed: if its serial or its open file is the one
    /// that `is_meant`. Returns whether it was verified, and a file to close.
    pub(in crate::cache) fn revoke(
        &mut self,
        digest: &Digest,
        is_meant: impl FnOnce(u64, Option<&Arc<T>>) -> bool,
    ) -> (bool, Option<Arc<T>>) {
        let meant = self.blobs.get(digest).is_some_and(|blob| is_meant(blob.serial, blob.open.as_ref()));
        let Some(mut blob) = meant.then(|| self.take(digest)).flatten() else { return (false, None) };
        let proof = blob.proof.take();
        let was_verified = proof.is_some();
        blob.outdated = proof.filter(|proof| proof.verity.is_some()).or(blob.outdated);
        blob.scrubbed = None;
        let closed = blob.open.take();
        self.put(*digest, blob);
        (was_verified, closed)
    }

    /// The last proof of a blob whose file was sealed, and the blob's serial.
    pub(in crate::cache) fn sealed_proof(&self, digest: &Digest) -> Option<(Proof, u64)> {
        let blob = self.blobs.get(digest)?;
        let proof = blob.proof.or(blob.outdated).filter(|proof| proof.verity.is_some());
        proof.map(|proof| (proof, blob.serial))
    }

    /// Replaces the identity in a blob's proof, on a file system that gives the same file another number.
    pub(in crate::cache) fn renumber(&mut self, digest: &Digest, serial: u64, file: Identity) {
        let blob = self.blobs.get_mut(digest).filter(|blob| blob.serial == serial);
        if let Some(proof) = blob.and_then(|blob| blob.proof.as_mut()) {
            proof.file = file;
        }
    }

    /// The blobs that were last hashed at `before` or earlier, at most `most`: first those that are unverified, then those
    /// that were hashed the longest ago.
    pub(in crate::cache) fn to_scrub(&self, before: SystemTime, most: usize) -> Vec<Digest> {
        let turns = self.blobs.iter().map(|(digest, blob)| (blob.scrubbed, *digest));
        let mut due: Vec<_> = turns.filter(|(at, _)| at.is_none_or(|at| at <= before)).collect();
        due.sort_unstable();
        due.into_iter().take(most).map(|(_, digest)| digest).collect()
    }

    /// Whether a blob was last hashed at `before` or earlier.
    pub(in crate::cache) fn is_to_scrub(&self, digest: &Digest, before: SystemTime) -> bool {
        self.blobs.get(digest).is_some_and(|blob| blob.scrubbed.is_none_or(|at| at <= before))
    }

    /// Notes that a blob had its turn to be hashed.
    pub(in crate::cache) fn set_scrubbed(&mut self, digest: &Digest, now: SystemTime) {
        if let Some(blob) = self.blobs.get_mut(digest) {
            blob.scrubbed = Some(now);
            blob.suspect = false;
        }
    }

    /// Returns records of blobs whose last use is more than `age` newer than what was recorded, and marks that as recorded.
    pub(in crate::cache) fn take_unsaved(&mut self, age: Duration) -> Vec<Record> {
        let unsaved = self.blobs.iter_mut().filter(|(_, blob)| blob.saved + age < blob.used);
        unsaved
            .map(|(digest, blob)| {
                blob.saved = blob.used;
                blob.record(digest)
            })
            .collect()
    }

    /// The records of all blobs.
    pub(in crate::cache) fn records(&self) -> Vec<Record> {
        self.blobs.iter().map(|(digest, blob)| blob.record(digest)).collect()
    }

    /// Turns the reservation of a partial into a verified blob whose file is open. Returns its record, and the open file of
    /// a blob that it replaces.
    pub(in crate::cache) fn admit(
        &mut self,
        digest: &Digest,
        proof: Proof,
        file: Arc<T>,
        now: SystemTime,
    ) -> (Record, Option<Arc<T>>) {
        self.release(digest);
        let used = tick(&mut self.clock, now);
        let blob =
            Blob { proof: Some(proof), scrubbed: Some(proof.at), open: Some(file), ..Blob::new(proof.file.size, used) };
        let record = blob.record(digest);
        (record, self.insert(*digest, blob))
    }
}
