//! The index entry of one blob.

use std::sync::Arc;
use std::time::SystemTime;

/// A blob.
#[derive(Debug)]
pub(in crate::cache) struct Blob<T> {
    pub(in crate::cache) size: u64,
    pub(super) used: SystemTime,
    /// The last use that was saved to the disk.
    pub(super) saved: SystemTime,
    pub(super) verified: SystemTime,
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
    /// On the disk.
    Closed {
        /// Its size in bytes.
        size: u64,
        /// Its serial, for [`Index::keep_open`](super::Index::keep_open).
        serial: u64,
    },
    /// It is not cached.
    Missing,
}

impl<T> Blob<T> {
    /// Whether it is being read.
    pub(super) fn is_held(&self) -> bool {
        // The index has one reference. Others are made from it under the index's own lock, or from one that exists already.
        self.open.as_ref().is_some_and(|open| Arc::strong_count(open) > 1)
    }
}
