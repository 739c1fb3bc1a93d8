//! The catalog: it maps asset names to digests and sources, and groups assets into releases.
//!
//! It does not know how bytes are fetched or served.

mod asset;
mod bound;
mod collection;
mod media_type;
mod release;

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

pub use asset::{Asset, BlockListSource};
pub use bound::BoundAssets;
pub use collection::{ChangePolicy, Collection, DigestSource, MissingDigest, NameFilter, name_glob};
pub use media_type::content_type;
pub use release::Release;

use crate::asset::{AssetName, Digest, SourceUrl};

/// Why a set of assets is not a valid catalog.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CatalogError {
    /// Two assets have the same name.
    #[error("two assets have the name {0}; rename one of them")]
    Duplicate(AssetName),
}

/// All assets, by name and by digest. A reload creates a new one; only assets of collections are added in between.
///
/// ```
/// use bootdepot::asset::{AssetName, Digest};
/// use bootdepot::catalog::{Asset, Catalog};
///
/// let digest = Digest::of(b"kernel");
/// let source = "s3://boot/okd/kernel".parse()?;
/// let kernel = Asset::new(AssetName::parse("okd/kernel")?, digest, vec![source]);
/// let catalog = Catalog::new(vec![kernel]).expect("names are unique");
/// assert_eq!(catalog.by_name("okd/kernel").map(|asset| asset.digest), Some(digest));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Default)]
pub struct Catalog {
    by_name: HashMap<AssetName, Arc<Asset>>,
    by_digest: HashMap<Digest, Vec<Arc<Asset>>>,
    /// The assets by their name in lower case, `None` where several differ only in case. Built when it is first needed.
    by_folded_name: OnceLock<HashMap<String, Option<Arc<Asset>>>>,
    collections: Vec<Arc<Collection>>,
    bound: Arc<BoundAssets>,
}

impl Catalog {
    /// Creates a catalog. Fails with all errors of the assets.
    pub fn new(assets: Vec<Asset>) -> Result<Self, Vec<CatalogError>> {
        let mut catalog = Self::default();
        let mut errors = Vec::new();
        for asset in assets {
            let asset = Arc::new(asset);
            if catalog.by_name.insert(asset.name.clone(), Arc::clone(&asset)).is_some() {
                errors.push(CatalogError::Duplicate(asset.name.clone()));
            }
            catalog.by_digest.entry(asset.digest).or_default().push(asset);
        }
        if errors.is_empty() { Ok(catalog) } else { Err(errors) }
    }

    /// The same with these collections.
    #[must_use]
    pub fn with_collections(mut self, collections: Vec<Collection>) -> Self {
        self.collections = collections.into_iter().map(Arc::new).collect();
        // If two cover a name, the more specific one counts.
        self.collections.sort_by_key(|collection| std::cmp::Reverse(collection.prefix.len()));
        self
    }

    /// The same with these assets of its collections.
    #[must_use]
    pub fn with_bound(self, bound: Arc<BoundAssets>) -> Self {
        Self { bound, ..self }
    }

    /// Its collections, those with the longest prefix first.
    pub fn collections(&self) -> &[Arc<Collection>] {
        &self.collections
    }

    /// The collection that this name belongs to, and its source there.
    pub fn member(&self, name: &AssetName) -> Option<(Arc<Collection>, SourceUrl)> {
        member(&self.collections, name)
    }

    /// The asset with this name.
    pub fn by_name(&self, name: &str) -> Option<Arc<Asset>> {
        self.declared(name).cloned().or_else(|| self.bound.by_name(name))
    }

    /// The asset with this name, if it has an entry of its own.
    pub fn declared(&self, name: &str) -> Option<&Arc<Asset>> {
        self.by_name.get(name)
    }

    /// The asset with an entry of its own whose name differs from this one only in upper and lower case; `None` if several do. For
    /// clients that keep no case.
    pub fn by_folded_name(&self, name: &str) -> Option<Arc<Asset>> {
        let folded = self.by_folded_name.get_or_init(|| {
            let mut folded: HashMap<String, Option<Arc<Asset>>> = HashMap::with_capacity(self.by_name.len());
            for asset in self.by_name.values() {
                let place = folded.entry(asset.name.as_str().to_lowercase());
                place.and_modify(|found| *found = None).or_insert_with(|| Some(Arc::clone(asset)));
            }
            folded
        });
        folded.get(&name.to_lowercase()).cloned().flatten()
    }

    /// The assets with this digest, in the order of the configuration.
    pub fn by_digest(&self, digest: &Digest) -> Vec<Arc<Asset>> {
        let mut assets = self.by_digest.get(digest).cloned().unwrap_or_default();
        assets.extend(
            self.bound.by_digest(digest).into_iter().filter(|asset| self.declared(asset.name.as_str()).is_none()),
        );
        assets
    }

    /// All assets, in no order.
    pub fn assets(&self) -> impl Iterator<Item = Arc<Asset>> {
        let bound = self.bound.all().into_iter().filter(|asset| self.declared(asset.name.as_str()).is_none());
        self.by_name.values().cloned().chain(bound)
    }

    /// The number of assets.
    pub fn len(&self) -> usize {
        self.by_name.len() + self.bound.len()
    }

    /// Whether it has no assets.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The collection that a name belongs to, and its source there. The first one whose prefix covers it decides: a name that its
/// filter excludes belongs to no other. `collections` has those with the longest prefix first.
pub fn member(collections: &[Arc<Collection>], name: &AssetName) -> Option<(Arc<Collection>, SourceUrl)> {
    let collection = collections.iter().find(|collection| name.as_str().starts_with(&collection.prefix))?;
    Some((Arc::clone(collection), collection.source_of(name)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folded_name_must_fit_one_asset() {
        let asset = |name: &str| Asset::new(AssetName::parse(name).unwrap(), Digest::of(name.as_bytes()), Vec::new());
        let catalog = Catalog::new(["Boot/BCD", "a", "A", "é"].map(asset).to_vec()).unwrap();
        let found = |name: &str| catalog.by_folded_name(name).map(|asset| asset.name.as_str().to_owned());
        assert_eq!(found("BOOT/bcd").as_deref(), Some("Boot/BCD"));
        assert_eq!(found("É").as_deref(), Some("é"));
        assert_eq!(found("a"), None, "two differ only in case");
        assert_eq!(found("b"), None);
    }
}
