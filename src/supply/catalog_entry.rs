//! The entry of a catalog for an asset that was put into a bucket.

use crate::asset::{AssetName, Digest};

/// The entry of an asset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CatalogEntry {
    /// Its name.
    pub name: AssetName,
    /// The URL of the object.
    pub source: String,
    /// Its SHA-256.
    pub sha256: Digest,
    /// Its length in bytes.
    pub size: u64,
    /// The URL of its block list, and the SHA-256 of that.
    pub blocks: Option<(String, Digest)>,
}

/// The release that the assets of a change belong to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReleaseEntry {
    /// Its name.
    pub name: String,
    /// Its channel. `None` keeps the one that it has.
    pub channel: Option<String>,
    /// Whether it becomes the active one of its channel. If not, it stays as it is, and a new one is not active.
    pub activate: bool,
    /// Whether it has these assets only, and not also those that it had.
    pub is_whole: bool,
}
