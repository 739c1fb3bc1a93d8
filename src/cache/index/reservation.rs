//! Disk space that is reserved for a partial.

use std::time::SystemTime;

/// Disk space that is reserved for a partial.
#[derive(Debug, Clone, Copy)]
pub(in crate::cache) struct Reservation {
    pub(super) size: u64,
    /// Bytes of it that the file system has not allocated yet.
    pub(super) unallocated: u64,
    pub(super) since: SystemTime,
    /// A fill is in progress. Otherwise an earlier fill left the partial.
    pub(super) filling: bool,
}

/// The result of claiming the partial of a digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cache) enum ClaimOutcome {
    /// There is no partial.
    Fresh,
    /// An earlier fill left a partial of this size, which is claimed now.
    Resumed(u64),
    /// Another fill has it.
    Busy,
}
