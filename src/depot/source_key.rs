//! The key of what sources report about a blob that is not cached.

use std::hash::{Hash as _, Hasher as _};

use crate::asset::{Digest, SourceUrl};

/// A digest together with its sources and origins. A change of the sources, or of the origins' credentials, makes another
/// key, so that old replies no longer apply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct SourceKey {
    digest: Digest,
    sources: u64,
}

impl SourceKey {
    /// The key of this digest for these sources, in any order. `epoch` differs for each set of origins.
    pub(super) fn new(epoch: u64, digest: &Digest, sources: &[SourceUrl]) -> Self {
        let mut sources: Vec<_> = sources.iter().map(SourceUrl::as_str).collect();
        sources.sort_unstable();
        // Stable within one process, which is as long as the entries live.
        let mut hasher = std::hash::DefaultHasher::new();
        (epoch, sources).hash(&mut hasher);
        Self { digest: *digest, sources: hasher.finish() }
    }
}
