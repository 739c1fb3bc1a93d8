//! The result of the look at one source.

use super::advice::Trouble;
use crate::depot::SourceReads;

/// The result of the look at one source.
pub(super) enum Outcome {
    /// It has the right object.
    Right(Seen),
    /// It has an object, but there is no digest to compare.
    Unverified(Seen),
    /// It does not have the right object, or cannot be read.
    Bad(Trouble),
    /// It was not asked, for this reason.
    NotAsked(String),
}

/// An object that can be read.
pub(super) struct Seen {
    /// Its length in bytes. `None` if the source does not say.
    pub(super) size: Option<u64>,
    /// How fills can read it. `None` for the shared catalog, which they do not read.
    pub(super) reads: Option<SourceReads>,
    /// The finding.
    pub(super) found: String,
    /// A problem that an operator should see although the object can be read.
    pub(super) warning: Option<Trouble>,
}

impl Outcome {
    /// The object, if it can be read and is not known to be wrong.
    pub(super) fn seen(&self) -> Option<&Seen> {
        match self {
            Self::Right(seen) | Self::Unverified(seen) => Some(seen),
            Self::Bad(_) | Self::NotAsked(_) => None,
        }
    }
}
