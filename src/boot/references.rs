//! The references that the configuration makes valid, whichever release is live: for the check at load, and for previews.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::closest::closest;
use super::not_live::{NotLive, ReferenceError};
use crate::asset::AssetName;
use crate::catalog::{Catalog, Collection, Release};

/// All assets and channels that references can name.
#[derive(Debug, Default)]
pub(super) struct References {
    assets: HashSet<AssetName>,
    collections: Vec<Arc<Collection>>,
    channels: HashMap<String, Vec<Release>>,
}

impl References {
    /// Collects the names of a catalog and its releases. `expected` are channels that may have no release yet.
    pub(super) fn new(catalog: &Catalog, releases: &[Release], expected: &[String]) -> Self {
        let mut channels: HashMap<String, Vec<Release>> =
            expected.iter().map(|channel| (channel.clone(), Vec::new())).collect();
        for release in releases {
            if let Some(channel) = &release.channel {
                channels.entry(channel.clone()).or_default().push(release.clone());
            }
        }
        let assets = catalog.assets().map(|asset| asset.name.clone()).collect();
        Self { assets, collections: catalog.collections().to_vec(), channels }
    }

    /// Checks that `reference` names an asset whichever release is live. In a channel without a release, it may name any.
    pub(super) fn check(&self, reference: &str) -> Result<(), ReferenceError> {
        if self.assets.contains(reference) || self.member(reference).is_some() {
            return Ok(());
        }
        let Some((channel, short, releases)) = self.channel(reference) else {
            let closest = closest(reference, self.assets.iter().map(AssetName::as_str));
            return Err(ReferenceError::Asset { name: reference.to_owned(), closest });
        };
        match releases.iter().find(|release| release.by_short_name(short).is_none()) {
            None => Ok(()),
            Some(lacking) => Err(ReferenceError::Short {
                channel: channel.to_owned(),
                release: lacking.name.clone(),
                short: short.to_owned(),
                closest: closest(short, lacking.short_names()),
            }),
        }
    }

    /// Resolves `reference` as if every release that the configuration activates were live. In a channel without an active
    /// release, its last release counts. Fails wherever [`Self::check`] fails.
    pub(super) fn preview(&self, reference: &str) -> Result<AssetName, NotLive> {
        self.check(reference)?;
        let by_name = self.assets.get(reference).cloned().or_else(|| self.member(reference));
        let by_channel = || {
            let (_, short, releases) = self.channel(reference)?;
            releases.iter().find(|release| release.active).or(releases.last())?.by_short_name(short).cloned()
        };
        by_name.or_else(by_channel).ok_or_else(|| self.explain(reference, NotLive::Unknown(reference.to_owned())))
    }

    /// Resolves `reference` like [`Self::preview`], but in a channel without a release to a name made of the reference: a
    /// trial then finds templates that fail before there is a release.
    pub(super) fn sample(&self, reference: &str) -> Result<AssetName, NotLive> {
        let found = self.preview(reference);
        let made = || AssetName::parse(&reference.replacen(':', "/", 1)).ok();
        match found {
            Err(NotLive::NoRelease(_)) => made().ok_or_else(|| NotLive::Unknown(reference.to_owned())),
            found => found,
        }
    }

    /// Returns why `reference` does not resolve: `error`, unless it is unknown because its channel has no release yet.
    pub(super) fn explain(&self, reference: &str, error: NotLive) -> NotLive {
        match (&error, self.channel(reference)) {
            (NotLive::Unknown(_), Some((channel, _, []))) => NotLive::NoRelease(channel.to_owned()),
            _ => error,
        }
    }

    /// The name as an asset of a collection. Whether the object exists is known only to its source.
    fn member(&self, reference: &str) -> Option<AssetName> {
        let name = AssetName::parse(reference).ok()?;
        self.collections.iter().any(|collection| collection.source_of(&name).is_some()).then_some(name)
    }

    fn channel<'r>(&'r self, reference: &'r str) -> Option<(&'r str, &'r str, &'r [Release])> {
        let (channel, short) = reference.split_once(':')?;
        Some((channel, short, self.channels.get(channel)?.as_slice()))
    }
}
