//! A name bound to a digest.

use std::time::SystemTime;

use super::object_version::ObjectVersion;
use crate::asset::{AssetName, Digest, SourceUrl};
use crate::catalog::{Asset, DigestSource};

/// The digest that an asset of a collection has, and the object that it was found for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binding {
    /// The asset.
    pub name: AssetName,
    /// The object.
    pub source: SourceUrl,
    /// The SHA-256 of its bytes.
    pub sha256: Digest,
    /// The object that the digest was found for.
    pub object: ObjectVersion,
    /// The place that says the digest.
    pub from: DigestSource,
    /// Whether bytes with this digest were seen. If not, the document that says it may have been of another object.
    pub verified: bool,
}

impl Binding {
    /// The asset. `source` is that of the binding, as the collection confines it.
    pub fn asset(&self, source: SourceUrl) -> Asset {
        Asset {
            size: Some(self.object.size),
            last_modified: self.object.modified.unwrap_or(SystemTime::UNIX_EPOCH),
            ..Asset::new(self.name.clone(), self.sha256, vec![source])
        }
    }
}
