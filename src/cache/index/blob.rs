//! The index entry of one blob.

use std::sync::Arc;
use std::time::SystemTime;

use super::seal_change::SealChange;
use crate::asset::Digest;
use crate::cache::record::{Proof, Record};

/// A blob.
#[derive(Debug)]
pub(in crate::cache) struct Blob<T> {
    pub(in crate::cache) size: u64,
    pub(super) used: SystemTime,
    /// The last use that was recorded to the disk.
    pub(super) saved: SystemTime,
    /// `None` if it is unverified.
    pub(super) proof: Option<Proof>,
    /// The proof of a sealed file that has another identity now: its seal may verify the blob again.
    pub(super) outdated: Option<Proof>,
    /// What the last seal of its file has changed.
    pub(super) seal: Option<SealChange>,
    /// When it was last hashed, or was to be hashed and could not be. Never, for one that is unverified.
    pub(super) scrubbed: Option<SystemTime>,
    /// Distinguishes this blob from an earlier or later one of the same digest.
    pub(super) serial: u64,
    /// The open file; being read if there are further references to it.
    pub(super) open: Option<Arc<T>>,
    /// Reading it failed since it was last verified.
    pub(super) suspect: bool,
}

/// Where a blob is.
#[derive(Debug)]
pub(in crate::cache) enum Location<T> {
    /// Its file is open.
    Open(Arc<T>),
    /// On the disk, verified.
    Closed {
        /// The proof of its file.
        proof: Proof,
        /// Its serial, for [`Index::keep_open`](super::Index::keep_open).
        serial: u64,
    },
    /// On the disk, unverified.
    Unverified {
        /// The proof of its sealed file under an earlier identity.
        outdated: Option<Proof>,
        /// Its serial.
        serial: u64,
    },
    /// It is not cached.
    Missing,
}

impl<T> Blob<T> {
    /// An unverified blob whose file is closed.
    pub(super) fn new(size: u64, used: SystemTime) -> Self {
        Self {
            size,
            used,
            saved: used,
            proof: None,
            outdated: None,
            seal: None,
            scrubbed: None,
            serial: 0,
            open: None,
            suspect: false,
        }
    }

    /// Its record.
    pub(super) fn record(&self, digest: &Digest) -> Record {
        Record { digest: *digest, used: self.used, proof: self.proof.or(self.outdated) }
    }

    /// Whether it is verified, and its file sealed.
    pub(super) fn is_sealed(&self) -> bool {
        self.proof.is_some_and(|proof| proof.verity.is_some())
    }

    /// Whether it is being read.
    pub(super) fn is_held(&self) -> bool {
        // The index has one reference. Others are made from it under the index's own lock, or from one that exists already.
        self.open.as_ref().is_some_and(|open| Arc::strong_count(open) > 1)
    }
}
