//! The content of catalogs: assets by name and by source, and releases.

use std::collections::{HashMap, HashSet};

use crate::asset::{AssetName, Digest};
use crate::catalog::{Catalog, Release};
use crate::supply::CatalogEntry;
use crate::supply::catalog_edit::{EditError, ListedAsset, read_catalog};

/// The assets and releases of all catalogs that a node reads.
#[derive(Debug, Clone, Default)]
pub struct Known {
    assets: HashMap<String, ListedAsset>,
    releases: HashMap<String, Vec<String>>,
    sources: HashSet<String>,
}

impl Known {
    /// The content of a catalog with these releases.
    pub fn new(catalog: &Catalog, releases: &[Release]) -> Self {
        let mut known = Self::default();
        for asset in catalog.assets() {
            let sources: Vec<_> = asset.sources.iter().map(|source| source.as_str().to_owned()).collect();
            let blocks = asset.blocks.as_ref().map(|blocks| (blocks.source.as_str().to_owned(), blocks.digest));
            let name = asset.name.to_string();
            known.add_asset(ListedAsset { name, sha256: asset.digest, size: asset.size, sources, blocks });
        }
        for release in releases {
            let assets = release.assets.iter().map(ToString::to_string).collect();
            known.releases.insert(release.name.clone(), assets);
        }
        known
    }

    /// Adds what the text of a catalog names.
    pub fn add_catalog(&mut self, text: &str) -> Result<(), EditError> {
        let (assets, releases) = read_catalog(text)?;
        for asset in assets {
            self.add_asset(asset);
        }
        self.releases.extend(releases.into_iter().map(|release| (release.name, release.assets)));
        Ok(())
    }

    fn add_asset(&mut self, asset: ListedAsset) {
        self.sources.extend(asset.sources.iter().cloned());
        self.sources.extend(asset.blocks.iter().map(|(source, _)| source.clone()));
        self.assets.insert(asset.name.clone(), asset);
    }

    /// Whether an asset has this source, or its block list has.
    pub(super) fn names(&self, source: &str) -> bool {
        self.sources.contains(source)
    }

    /// The assets of the release of this name. Empty if there is none.
    pub(super) fn release(&self, name: &str) -> &[String] {
        self.releases.get(name).map(Vec::as_slice).unwrap_or_default()
    }

    /// The asset of this name with this source, if it has the digest `expected` or none is expected.
    pub(super) fn asset(&self, name: &AssetName, source: &str, expected: Option<Digest>) -> Option<CatalogEntry> {
        let asset = self.assets.get(name.as_str())?;
        let is_same = expected.is_none_or(|expected| expected == asset.sha256);
        if !is_same || !asset.sources.iter().any(|it| it == source) {
            return None;
        }
        let (name, source) = (name.clone(), source.to_owned());
        Some(CatalogEntry { name, source, sha256: asset.sha256, size: asset.size?, blocks: asset.blocks.clone() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::Asset;

    #[test]
    fn asset_is_known_by_name_source_and_digest() {
        let name = AssetName::parse("os/1/kernel").unwrap();
        let digest = Digest::of(b"kernel");
        let asset =
            Asset { size: Some(6), ..Asset::new(name.clone(), digest, vec!["s3://b/os/1/kernel".parse().unwrap()]) };
        let release = Release { name: "os-1".to_owned(), channel: None, assets: vec![name.clone()], active: false };
        let known = Known::new(&Catalog::new(vec![asset]).unwrap(), &[release]);
        assert_eq!(known.asset(&name, "s3://b/os/1/kernel", Some(digest)).unwrap().size, 6);
        assert_eq!(known.asset(&name, "s3://b/os/1/kernel", Some(Digest::of(b"x"))), None);
        assert_eq!(known.asset(&name, "s3://other/kernel", None), None);
        assert!(known.names("s3://b/os/1/kernel") && !known.names("s3://b/os/1/rootfs"));
        assert_eq!((known.release("os-1"), known.release("os-2").len()), (&["os/1/kernel".to_owned()][..], 0));
    }
}
