//! The states of a fill.

use super::error::ReadError;
use super::fill_bytes::FillBytes;
use super::not_stored::NotStored;
use crate::cache::Entry;

/// The state of a fill.
#[derive(Clone)]
pub(super) enum FillState {
    /// The size is not known yet.
    Starting,
    /// Bytes are written to the disk, or are there and hashed.
    Filling(FillBytes),
    /// Every byte is verified, and the blob is in the cache.
    Complete(Entry),
    /// The cache cannot store the blob: readers that need more than what is left of it bypass the cache.
    NotStored(NotStored),
    /// The fill failed.
    Failed(ReadError),
}

impl FillState {
    /// Whether the fill has not ended.
    pub(super) fn is_active(&self) -> bool {
        matches!(self, Self::Starting | Self::Filling(_))
    }
}
