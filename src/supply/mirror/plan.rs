//! The plan of a mirror: the release that is wanted, its files, and which of them are there already.

use super::documents::Documents;
use super::error::MirrorError;
use super::resolve;
use super::selection::{PickedFile, Selection};
use super::settings::MirrorSettings;
use super::upstream::Offer;
use crate::asset::AssetName;
use crate::supply::CatalogEntry;
use crate::supply::recipes::Version;

/// How many versions an error lists.
const LISTED: usize = 10;

/// The version that is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// The newest that is not preliminary.
    Latest,
    /// This one.
    Version(String),
}

impl std::str::FromStr for Wanted {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(if text == "latest" { Self::Latest } else { Self::Version(text.to_owned()) })
    }
}

/// A file of a plan.
#[derive(Debug, Clone)]
pub struct PlannedFile {
    /// The file, or the archive.
    pub picked: PickedFile,
    /// The assets that the store has of it: the file, or the members of the archive. Empty: it has to be transferred.
    pub stored: Vec<CatalogEntry>,
    /// Whether a catalog names what the store has.
    pub in_catalog: bool,
}

/// The plan of a mirror.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The version.
    pub version: Version,
    /// The name of the release.
    pub release: String,
    /// The files.
    pub files: Vec<PlannedFile>,
    pub(super) offer: Offer,
}

impl PlannedFile {
    /// Whether it has to be transferred.
    pub fn is_missing(&self) -> bool {
        self.stored.is_empty()
    }
}

impl Plan {
    /// Whether anything is not there yet, or no catalog names it.
    pub fn is_new(&self) -> bool {
        self.files.iter().any(|file| file.is_missing() || !file.in_catalog)
    }

    /// Bytes to transfer. `None` if the upstream does not say it of some file.
    pub fn bytes(&self) -> Option<u64> {
        let missing = self.files.iter().filter(|file| file.is_missing());
        missing.map(|file| file.picked.file.expected.size).sum()
    }
}

/// Asks the upstream for the wanted release and picks its files. Documents that contradict each other are read once more.
pub(super) async fn ask(
    settings: &MirrorSettings,
    selection: &Selection,
    documents: &Documents<'_>,
    wanted: &Wanted,
) -> Result<(Offer, Vec<PickedFile>), MirrorError> {
    let once = async || {
        let offers = resolve::offers(settings, selection, documents).await?;
        let offer = choose(&settings.name, offers, wanted)?;
        resolve::complete(offer, selection, documents).await
    };
    let offer = match once().await {
        Err(MirrorError::Contradiction { .. }) => once().await?,
        other => other?,
    };
    let picked = selection.pick(&offer.release)?;
    Ok((offer, picked))
}

/// The wanted release of those that are offered, the newest first.
fn choose(mirror: &str, offers: Vec<Offer>, wanted: &Wanted) -> Result<Offer, MirrorError> {
    let is_wanted = |offer: &Offer| match wanted {
        Wanted::Version(version) => offer.release.version.as_str() == version,
        Wanted::Latest => !offer.release.prerelease && !offer.release.version.is_preliminary(),
    };
    let versions: Vec<_> = offers.iter().take(LISTED).map(|offer| offer.release.version.to_string()).collect();
    let index = offers.iter().position(is_wanted);
    // An upstream may offer nothing but preliminary versions.
    let index = index.or((*wanted == Wanted::Latest).then_some(0));
    index.and_then(|index| offers.into_iter().nth(index)).ok_or_else(|| MirrorError::NoVersion {
        mirror: mirror.to_owned(),
        version: match wanted {
            Wanted::Latest => "at all".to_owned(),
            Wanted::Version(version) => version.clone(),
        },
        offered: if versions.is_empty() { "none".to_owned() } else { versions.join(", ") },
    })
}

/// The name of the asset of a file, which upstreams have a say in.
pub(super) fn asset_name(settings: &MirrorSettings, version: &Version, file: &str) -> Result<AssetName, MirrorError> {
    let name = settings.asset_name(version.as_str(), file);
    AssetName::parse(&name).map_err(|error| MirrorError::Name { name, error })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::supply::recipes::Release;

    fn offers(versions: &[(&str, bool)]) -> Vec<Offer> {
        let offer = |(version, prerelease): &(&str, bool)| {
            let release = Release { version: Version::new(*version), prerelease: *prerelease, files: Vec::new() };
            Offer::complete(release, String::new(), None)
        };
        versions.iter().map(offer).collect()
    }

    #[test]
    fn latest_passes_over_preliminary_versions() {
        let all = offers(&[("4.21.0", true), ("4.20.1-rc.1", false), ("4.20.0", false)]);
        assert_eq!(choose("m", all.clone(), &Wanted::Latest).unwrap().release.version.as_str(), "4.20.0");
        let named = Wanted::Version("4.21.0".to_owned());
        assert_eq!(choose("m", all, &named).unwrap().release.version.as_str(), "4.21.0");
        let only = offers(&[("5.0.0-beta.1", false)]);
        assert_eq!(choose("m", only, &Wanted::Latest).unwrap().release.version.as_str(), "5.0.0-beta.1");
    }

    #[test]
    fn unknown_version_lists_offered_ones() {
        let error = choose("m", offers(&[("2", false), ("1", false)]), &Wanted::Version("3".to_owned())).unwrap_err();
        assert_eq!(error.to_string(), "m has no version 3; the upstream offers: 2, 1");
        assert!(choose("m", Vec::new(), &Wanted::Latest).unwrap_err().to_string().ends_with("offers: none"));
    }
}
