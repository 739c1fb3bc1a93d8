//! Where the bytes of a fill are on the disk.

use std::sync::Arc;

use crate::cache::{CacheError, Partial, UnverifiedBlob};

/// The bytes of a fill on the disk, which its readers read before they are verified.
#[derive(Debug, Clone)]
pub(super) enum FillBytes {
    /// Bytes from origins.
    Partial(Arc<Partial>),
    /// A blob that was on the disk before and is hashed now.
    Blob(Arc<UnverifiedBlob>),
}

impl FillBytes {
    /// The size of the whole in bytes.
    pub(super) fn size(&self) -> u64 {
        match self {
            Self::Partial(partial) => partial.size(),
            Self::Blob(blob) => blob.size(),
        }
    }

    /// Reads into all of `buffer`, beginning at `offset`. Blocks.
    pub(super) fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), CacheError> {
        match self {
            Self::Partial(partial) => partial.read_at(offset, buffer),
            Self::Blob(blob) => blob.read_at(offset, buffer),
        }
    }
}
