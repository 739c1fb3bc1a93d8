//! What references mean as the settings stand, whatever is live: the check at load, and previews.

use std::collections::{HashMap, HashSet};

use super::NotLive;
use crate::asset::AssetName;
use crate::catalog::{Catalog, Release};

/// Every reference that there is.
#[derive(Debug, Default)]
pub(super) struct References {
    assets: HashSet<AssetName>,
    channels: HashMap<String, Vec<Release>>,
}

/// Why a reference means nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReferenceError {
    /// There is no asset of this name.
    #[error("there is no asset {name:?}{}", or_nearest(.nearest.as_deref()))]
    Asset {
        /// The name.
        name: String,
        /// The known one that is written most alike.
        nearest: Option<String>,
    },
    /// A release of the channel lacks the asset, so it would fail when that release goes live.
    #[error("the release {release:?} of the channel {channel:?} has no asset {short:?}{}", or_nearest(.nearest.as_deref()))]
    Short {
        /// The channel.
        channel: String,
        /// Its release that lacks it.
        release: String,
        /// The short name.
        short: String,
        /// The release's own that is written most alike.
        nearest: Option<String>,
    },
}

/// The end of a sentence about a name that is none.
pub(super) fn or_nearest(nearest: Option<&str>) -> String {
    nearest.map(|nearest| format!("; the nearest is {nearest:?}")).unwrap_or_default()
}

/// Of `known` the one that is written most like `name`, if one is alike enough to be meant.
pub(crate) fn most_alike<'k>(name: &str, known: impl IntoIterator<Item = &'k str>) -> Option<String> {
    // As for keys of the settings: below this, what comes out reads as a guess rather than a hint.
    const ALIKE: f64 = 0.75;
    let scored = known.into_iter().map(|known| (strsim::jaro_winkler(name, known), known));
    let best =
        scored.filter(|(alike, _)| *alike >= ALIKE).max_by(|(a, x), (b, y)| a.total_cmp(b).then_with(|| y.cmp(x)));
    best.map(|(_, known)| known.to_owned())
}

impl References {
    /// Those of this catalog and these releases.
    pub(super) fn new(catalog: &Catalog, releases: &[Release]) -> Self {
        let mut channels: HashMap<String, Vec<Release>> = HashMap::new();
        for release in releases {
            if let Some(channel) = &release.channel {
                channels.entry(channel.clone()).or_default().push(release.clone());
            }
        }
        Self { assets: catalog.assets().map(|asset| asset.name.clone()).collect(), channels }
    }

    /// Whether `reference` means an asset whatever release is live.
    pub(super) fn check(&self, reference: &str) -> Result<(), ReferenceError> {
        if self.assets.contains(reference) {
            return Ok(());
        }
        let Some((channel, short, releases)) = self.channel(reference) else {
            let known = self.assets.iter().map(AssetName::as_str);
            let nearest = most_alike(reference, known);
            return Err(ReferenceError::Asset { name: reference.to_owned(), nearest });
        };
        match releases.iter().find(|release| release.by_short_name(short).is_none()) {
            None => Ok(()),
            Some(lacking) => Err(ReferenceError::Short {
                channel: channel.to_owned(),
                release: lacking.name.clone(),
                short: short.to_owned(),
                nearest: most_alike(short, lacking.short_names()),
            }),
        }
    }

    /// The asset that `reference` means once everything that the settings make active is live; of a channel of which nothing
    /// is, its last release counts. A reference that would mean nothing with another release live means nothing here.
    pub(super) fn preview(&self, reference: &str) -> Result<AssetName, NotLive> {
        self.check(reference)?;
        let named = self.assets.get(reference).cloned();
        let of_channel = || {
            let (_, short, releases) = self.channel(reference)?;
            releases.iter().find(|release| release.active).or(releases.last())?.by_short_name(short).cloned()
        };
        named.or_else(of_channel).ok_or_else(|| NotLive::Unknown(reference.to_owned()))
    }

    fn channel<'r>(&'r self, reference: &'r str) -> Option<(&'r str, &'r str, &'r [Release])> {
        let (channel, short) = reference.split_once(':')?;
        Some((channel, short, self.channels.get(channel)?.as_slice()))
    }
}
