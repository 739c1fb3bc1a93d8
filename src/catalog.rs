//! The catalog: which name is which digest, from which sources its bytes may be fetched, and which belong together.
//!
//! It knows nothing of how bytes travel. A request's name is only ever looked up here.

mod media_type;
mod release;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::SystemTime;

pub use media_type::content_type;
pub use release::Release;

use crate::asset::{AssetName, Digest, SourceUrl};

/// One asset: a name, the digest its bytes must have, and where to fetch them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asset {
    /// The name it is served under.
    pub name: AssetName,
    /// The SHA-256 of its bytes.
    pub digest: Digest,
    /// Where to fetch it, in the order to try; never empty.
    pub sources: Vec<SourceUrl>,
    /// Its length in bytes, where the operator gave it; a source with another length is in error.
    pub size: Option<u64>,
    /// Its media type (RFC 9110 8.3).
    pub content_type: Box<str>,
    /// Kept in the cache against eviction.
    pub pin: bool,
    /// Where its block list is, and the digest that makes the list trustworthy.
    pub blocks: Option<BlocksSource>,
    /// Since when the name has these bytes: when the file that says so was written. Served as `Last-Modified`, so that
    /// it is known without asking an origin and is the same on every node that shares the catalog.
    pub since: SystemTime,
}

impl Asset {
    /// An asset of which no more is known: its media type goes by its suffix, and its bytes are as old as time.
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
            since: SystemTime::UNIX_EPOCH,
        }
    }
}

/// Where a block list is, and what it must hash to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlocksSource {
    /// Where to fetch the list.
    pub source: SourceUrl,
    /// The digest of the list itself.
    pub digest: Digest,
}

/// Why assets do not make a catalog.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CatalogError {
    /// Two assets have one name.
    #[error("the asset name {0} is taken twice; give one of them another name")]
    Duplicate(AssetName),
}

/// All assets, by name and by digest. Immutable; a reload makes a new one.
#[derive(Debug, Default)]
pub struct Catalog {
    by_name: HashMap<AssetName, Arc<Asset>>,
    by_digest: HashMap<Digest, Vec<Arc<Asset>>>,
}

impl Catalog {
    /// A catalog of these assets, or everything that is wrong with them.
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

    /// The asset of this name.
    pub fn by_name(&self, name: &str) -> Option<&Arc<Asset>> {
        self.by_name.get(name)
    }

    /// The assets whose bytes have this digest, in the order of the settings.
    pub fn by_digest(&self, digest: &Digest) -> &[Arc<Asset>] {
        self.by_digest.get(digest).map_or(&[], Vec::as_slice)
    }

    /// All assets, in no order.
    pub fn assets(&self) -> impl Iterator<Item = &Arc<Asset>> {
        self.by_name.values()
    }

    /// How many assets there are.
    pub fn len(&self) -> usize {
        self.by_name.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }
}
