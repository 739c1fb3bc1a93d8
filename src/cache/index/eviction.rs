//! Results of evictions: the blobs to remove, or why not enough can be freed.

use std::time::SystemTime;

use super::blob::Blob;
use super::reservation::Reservation;
use crate::asset::Digest;

/// A corrupt blob in quarantine.
#[derive(Debug, Clone, Copy)]
pub(in crate::cache) struct Quarantined {
    pub(super) size: u64,
    pub(super) since: SystemTime,
}

/// The blob to remove from the disk. It is no longer in the index; [`Index::restore`](super::Index::restore) puts it
/// back.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "nearly all are blobs, and few exist at a time")]
pub(in crate::cache) enum Victim<T> {
    /// A file in quarantine.
    Quarantined(Digest, Quarantined),
    /// A partial without a fill.
    Partial(Digest, Reservation),
    /// A blob that is neither pinned nor read.
    Blob(Digest, Blob<T>),
}

/// Why there is not enough space.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(in crate::cache) enum Shortage {
    /// The size is larger than the limit of the whole cache.
    #[error("max_size is {limit}")]
    Limit { limit: u64 },
    /// Too much of the cache may not be evicted.
    #[error("max_size is {limit}, and {kept} bytes are pinned, being read or being filled")]
    Kept { limit: u64, kept: u64 },
    /// Other files fill the disk.
    #[error(
        "{free} bytes are free on the disk, min_free keeps {min_free} of them free, and evicting blobs does not free enough"
    )]
    Disk { free: u64, min_free: u64 },
}
