//! Releases.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::word::words;
use crate::boot::{ReleaseState, ReleaseStatus};

/// A release as an operator sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReleaseView {
    /// Its name.
    pub name: String,
    /// Its channel, if it has one.
    pub channel: Option<String>,
    /// How it stands.
    pub state: ReleaseState,
    /// Whether it is active: live, or to be live as soon as it is cached. Of a channel one release is.
    pub active: bool,
    /// Why it is not cached, as far as that is known: which asset could not be fetched when that was last tried, and why.
    pub reason: Option<String>,
    /// How many of its assets are in the cache.
    pub cached: usize,
    /// How many assets it has.
    pub total: usize,
    /// Bytes of it that are here.
    pub bytes: u64,
    /// Bytes of it in all, where the size of every asset is known.
    pub size: Option<u64>,
    /// Until when it stays in the cache for machines that began with it, where another took its place a while ago.
    pub kept_until: Option<Timestamp>,
}

/// All releases.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ReleaseList {
    /// In the order of the settings.
    pub releases: Vec<ReleaseView>,
}

impl From<ReleaseStatus> for ReleaseView {
    fn from(release: ReleaseStatus) -> Self {
        let ReleaseStatus { name, channel, state, active, reason, cached, total, bytes, size, kept_until } = release;
        Self { name, channel, state, active, reason, cached, total, bytes, size, kept_until }
    }
}

words! {
    ReleaseState as "ReleaseState": "How a release stands.";
}
