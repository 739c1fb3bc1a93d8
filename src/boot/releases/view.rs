//! How a release stands, for operators.

use jiff::Timestamp;
use strum::{EnumString, IntoStaticStr, VariantNames};

use super::standing::Standing;
use crate::catalog::Release;
use crate::depot::{AssetProgress, timestamp};

/// A release, and how far it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReleaseStatus {
    /// Its name.
    pub name: String,
    /// Its channel, if it has one.
    pub channel: Option<String>,
    /// How it stands.
    pub state: ReleaseState,
    /// Whether it is active: live, or to be live as soon as it is proven. Of a channel one release is.
    pub active: bool,
    /// Why it is not proven, as far as that is known: which asset could not be fetched when that was last tried, and why.
    pub reason: Option<String>,
    /// How many of its assets are in the cache, proven.
    pub proven: usize,
    /// How many assets it has.
    pub total: usize,
    /// Bytes of it that are here.
    pub bytes: u64,
    /// Bytes of it in all, where the size of every asset is known.
    pub size: Option<u64>,
    /// Until when it stays in the cache for machines that began with it, where another took its place a while ago.
    pub kept_until: Option<Timestamp>,
}

/// How a release stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr, EnumString, VariantNames)]
#[strum(serialize_all = "kebab-case")]
pub enum ReleaseState {
    /// New scripts name its assets.
    Live,
    /// It is being fetched, and goes live when it is proven.
    Fetching,
    /// The same, but the last try failed; it is tried again.
    Failed,
    /// Neither live nor to be.
    Idle,
}

impl ReleaseState {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

impl ReleaseStatus {
    /// The view of `release`, whose assets have come this far, or failed for this reason.
    pub(super) fn of(
        release: &Release,
        standing: &Standing,
        assets: impl Iterator<Item = (AssetProgress, Option<String>)>,
    ) -> Self {
        let (mut proven, mut bytes, mut size, mut reason) = (0, 0, Some(0), None);
        for (progress, failure) in assets {
            proven += usize::from(progress.cached);
            bytes += progress.bytes;
            size = size.zip(progress.size).map(|(sum, size)| sum + size);
            reason = reason.or(failure.filter(|_| !progress.cached));
        }
        let active = standing.is_wanted(release);
        let state = match (standing.is_live(release), active, &reason) {
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
            proven,
            total: release.assets.len(),
            bytes,
            size,
            kept_until: standing.kept_until(release).map(timestamp),
        }
    }
}
