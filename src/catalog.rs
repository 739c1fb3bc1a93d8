//! The catalog: it maps asset names to digests and sources, and groups assets into releases.
//!
//! It does not know how bytes are fetched or served.

mod media_type;
mod release;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::SystemTime;

pub use media_type::content_type;
pub use release::Release;

use crate::asset::{AssetName, Digest, SourceUrl};

/// An asset: a name, the digest of its bytes, and where to fetch them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asset {
    /// The name under which it is served.
    pub name: AssetName,
    /// The SHA-256 of its bytes.
    pub digest: Digest,
    /// Where to fetch it, in the order of preference; never empty.
    pub sources: Vec<SourceUrl>,
    /// Its size in bytes, if configured. A source with another size is an error.
    pub size: Option<u64>,
    /// Its media type (RFC 9110 8.3).
    pub content_type: Box<str>,
    /// Whether it is protected against eviction.
    pub pin: bool,
    /// Its block list. `None` if it has none.
    pub blocks: Option<BlockListSource>,
    /// When the configuration file that declares it was written. Served as `Last-Modified`: it is known without a request
    /// to an origin, and is the same on all nodes that share the catalog.
    pub last_modified: SystemTime,
}

impl Asset {
    /// An asset with defaults: the media type of its suffix, and modified at the Unix epoch.
    pub fn new(name: AssetName, digest: Digest, sources: Vec<SourceUrl>) -> Self {
        let content_type = content_type(name.as_str()).into();
        Self {
            name,
            digest,
            sources,
            size: None,
            content_type,
            pin: false,
            blocks: None,
            last_modified: SystemTime::UNIX_EPOCH,
        }
    }
}

/// Where a block list is, and the digest that it must have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockListSource {
    /// Where to fetch the list.
    pub source: SourceUrl,
    /// The digest of the list itself.
    pub digest: Digest,
}

/// Why a set of assets is not a valid catalog.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CatalogError {
    /// Two assets have the same name.
    #[error("two assets have the name {0}; rename one of them")]
    Duplicate(AssetName),
}

/// All assets, by name and by digest. Immutable; a reload creates a new one.
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

    /// The asset with this name.
    pub fn by_name(&self, name: &str) -> Option<&Arc<Asset>> {
        self.by_name.get(name)
    }

    /// The assets with this digest, in the order of the configuration.
    pub fn by_digest(&self, digest: &Digest) -> &[Arc<Asset>] {
        self.by_digest.get(digest).map_or(&[], Vec::as_slice)
    }

    /// All assets, in no order.
    pub fn assets(&self) -> impl Iterator<Item = &Arc<Asset>> {
        self.by_name.values()
    }

    /// The number of assets.
    pub fn len(&self) -> usize {
        self.by_name.len()
    }

    /// Whether it has no assets.
    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }
}
