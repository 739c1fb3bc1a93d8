//! The work of a job.

use super::check::CheckTask;
use super::selection::Selection;

/// The work of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Task {
    /// Fetch assets into the cache.
    Preload {
        /// The assets.
        selection: Selection,
        /// Verify cached blobs again, and fetch corrupt ones again.
        verify: bool,
        /// Continue after a failure.
        keep_going: bool,
    },
    /// Verify the cached blobs of assets again. Corrupt blobs are quarantined.
    Verify {
        /// Names or globs. A glob skips assets that are not cached; a name of one that is not cached is a failure.
        assets: Vec<String>,
    },
    /// Verify every blob of the cache again.
    Scrub,
    /// Look at what booting depends on.
    Check(CheckTask),
}
