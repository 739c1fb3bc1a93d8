//! The status of a release, as a report for operators.

use jiff::Timestamp;
use strum::{EnumIter, EnumString, IntoStaticStr, VariantNames};

use super::channels::Channels;
use crate::catalog::Release;
use crate::clock::timestamp;
use crate::depot::AssetProgress;

/// The status of a release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReleaseStatus {
    /// Its name.
    pub name: String,
    /// Its channel, if it has one.
    pub channel: Option<String>,
    /// Its state.
    pub state: ReleaseState,
    /// Whether it is active: live, or going live once it is cached. At most one release of a channel is active.
    pub active: bool,
    /// Why it is not cached, if known: the asset that could not be fetched, and the error.
    pub reason: Option<String>,
    /// How many of its assets are cached.
    pub cached: usize,
    /// How many of its assets are on the disk and unverified.
    pub unverified: usize,
    /// How many assets it has.
    pub total: usize,
    /// Bytes of its assets in the cache.
    pub bytes: u64,
    /// Bytes of all its assets; `None` if a size is unknown.
    pub size: Option<u64>,
    /// How long it is kept for machines that began with it, if another release replaced it.
    pub kept_until: Option<Timestamp>,
}

/// The state of a release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr, EnumString, EnumIter, VariantNames)]
#[strum(serialize_all = "kebab-case")]
pub enum ReleaseState {
    /// New scripts name its assets.
    Live,
    /// It is being fetched, and goes live once it is cached.
    Fetching,
    /// The last fetch failed. It is retried.
    Failed,
    /// Neither active nor live.
    Idle,
}

impl ReleaseState {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

impl ReleaseStatus {
    /// The status of `release`. `assets`: the progress of each asset, and why its last fetch failed.
    pub(super) fn of(
        release: &Release,
        channels: &Channels,
        assets: impl Iterator<Item = (AssetProgress, Option<String>)>,
    ) -> Self {
        let (mut cached, mut unverified, mut bytes, mut size, mut reason) = (0, 0, 0, Some(0), None);
        for (progress, failure) in assets {
            cached += usize::from(progress.cached);
            unverified += usize::from(progress.unverified);
            bytes += progress.bytes;
            size = size.zip(progress.size).map(|(sum, size)| sum + size);
            reason = reason.or(failure.filter(|_| !progress.cached));
        }
        let active = channels.is_active(release);
        let state = match (channels.is_live(release), active, &reason) {
            (true, ..) => ReleaseState::Live,
            (false, true, None) => ReleaseState::Fetching,
            (false, true, Some(_)) => ReleaseState::Failed,
            (false, false, _) => ReleaseState::Idle,
        };
        Self {
            name: release.name.clone(),
            channel: release.channel.clone(),
            state,
            active,
            reason,
            cached,
            unverified,
            total: release.assets.len(),
            bytes,
            size,
            kept_until: channels.kept_until(release).map(timestamp),
        }
    }
}
