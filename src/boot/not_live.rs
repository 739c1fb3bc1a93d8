//! Why a reference resolves to no asset: the errors that scripts, host files and releases share.

use super::closest::suggestion;

/// A reference that resolves to no asset, whichever release is live.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReferenceError {
    /// The catalog has no asset of this name.
    #[error("there is no asset {name:?}{}", suggestion(.closest.as_deref()))]
    Asset {
        /// The name.
        name: String,
        /// The most similar known name.
        closest: Option<String>,
    },
    /// A release of the channel lacks the asset, so the reference would fail once that release goes live.
    #[error("the release {release:?} of the channel {channel:?} has no asset {short:?}{}", suggestion(.closest.as_deref()))]
    Short {
        /// The channel.
        channel: String,
        /// The release that lacks the asset.
        release: String,
        /// The short name.
        short: String,
        /// The most similar short name in that release.
        closest: Option<String>,
    },
}

/// Why a reference resolves to no asset now.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotLive {
    /// There is no such asset, channel, or asset in the channel.
    #[error("the catalog has no asset {0:?}")]
    Unknown(String),
    /// The reference is invalid in the current configuration.
    #[error(transparent)]
    Invalid(#[from] ReferenceError),
    /// The channel has no release yet.
    #[error("the channel {0} has no release yet; mirror or publish one")]
    NoRelease(String),
    /// No release of the channel is active.
    #[error("no release of the channel {0} is active; activate one")]
    Inactive(String),
    /// The active release is not cached completely, and no earlier one is live.
    #[error("the release {release} is not cached yet: {cached} of {total} assets are cached")]
    Fetching {
        /// The release.
        release: String,
        /// How many of its assets are in the cache.
        cached: usize,
        /// How many assets it has.
        total: usize,
    },
}
