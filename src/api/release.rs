//! Releases.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::word::words;
use crate::boot::{ReleaseState, ReleaseStatus};

/// A release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReleaseView {
    /// Its name.
    pub name: String,
    /// Its channel, if it has one.
    pub channel: Option<String>,
    /// Its state.
    pub state: ReleaseState,
    /// Whether it is active: live, or going live once it is cached. One release of each channel is active.
    pub active: bool,
    /// Why it is not cached, if known: the asset that could not be fetched on the last try, and the reason.
    pub reason: Option<String>,
    /// How many of its assets are cached.
    pub cached: usize,
    /// How many of its assets are on the disk and unverified: they are hashed before it goes live.
    #[serde(default)]
    pub unverified: usize,
    /// How many assets it has.
    pub total: usize,
    /// Bytes of it that are in the cache.
    pub bytes: u64,
    /// Its size in bytes; null if the size of an asset is unknown.
    pub size: Option<u64>,
    /// Until when it is kept for machines that booted it, after another release has replaced it.
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
        let ReleaseStatus { name, channel, state, active, reason, cached, unverified, total, bytes, size, kept_until } =
            release;
        Self { name, channel, state, active, reason, cached, unverified, total, bytes, size, kept_until }
    }
}

words! {
    ReleaseState as "ReleaseState": "The state of a release.";
}
