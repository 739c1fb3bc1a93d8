//! The result of the look at one source of one asset.

use super::advice::Trouble;

/// The result of the look at one source.
pub(super) enum Outcome {
    /// It has the asset, as far as it says.
    Good {
        /// Its length in bytes.
        size: u64,
        /// Whether the origin advertises a checksum, which is the right one.
        checksum: bool,
        /// The same as a sentence.
        found: String,
    },
    Bad(Trouble),
    /// Not looked at, for this reason.
    Skipped(String),
}
