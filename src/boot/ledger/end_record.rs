//! The end of a transfer, as the ledger records it.

use crate::depot::{CacheState, Outcome};

/// The end of a transfer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct EndRecord {
    pub(super) outcome: Outcome,
    /// Why it failed, in the words of the part that failed.
    pub(super) reason: Option<String>,
    /// Whether the file is known: the catalog, a script or DHCP names it.
    pub(super) listed: bool,
    pub(super) cache: Option<CacheState>,
    pub(super) bytes: u64,
    /// The size of the whole asset, if known.
    pub(super) size: Option<u64>,
}
