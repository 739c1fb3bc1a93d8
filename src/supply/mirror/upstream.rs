//! Releases that an upstream offers, and the key that signed their description.

use crate::proof::{Expected, Signer};
use crate::supply::recipes::Release;

/// A release that an upstream offers.
#[derive(Debug, Clone)]
pub(super) struct Offer {
    pub(super) release: Release,
    /// The document that announces the files, as shown.
    pub(super) index: String,
    /// The key that signed that document. `None` if no signature was checked.
    pub(super) signer: Option<Signer>,
    /// The documents that must be read before the files or their digests are known.
    pub(super) pending: Pending,
}

/// Documents of one release that are read only if the release is wanted.
#[derive(Debug, Clone)]
pub(super) enum Pending {
    /// None: the release is complete.
    Nothing,
    /// `SHA256SUMS` of a directory, which the index announces.
    Sums { directory: String, announced: Expected },
    /// Old assets of a GitHub release have no digests. An asset may list them.
    GithubSums,
    /// A list of digests for each file.
    FlatcarDigests,
    /// GitHub's description of the release.
    GithubApi { url: String },
}

impl Offer {
    /// A release of which nothing has to be read.
    pub(super) fn complete(release: Release, index: String, signer: Option<Signer>) -> Self {
        Self { release, index, signer, pending: Pending::Nothing }
    }
}
