//! Collections, and the content of their directories.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::asset::AssetState;
use super::text;
use crate::asset::Digest;
use crate::catalog::Collection;

/// A collection: a directory of a source whose objects are assets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CollectionView {
    /// How the names of its assets begin.
    pub prefix: String,
    /// Where the objects are.
    pub source: String,
    /// Where digests are looked for, in this order.
    pub digest_from: Vec<String>,
    /// Whether HTTP clients may list its directories.
    pub listing: bool,
}

/// All collections.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CollectionList {
    /// Those with the longest prefix first, as names are looked up.
    pub collections: Vec<CollectionView>,
}

/// The content of a directory of a collection, without that of its directories.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DirectoryView {
    /// The names of directories in it, each with a slash at the end.
    pub directories: Vec<String>,
    /// The files in it, by name.
    pub files: Vec<FileView>,
    /// Whether these are all: not if there are more than 10,000, or the source is a web server, which cannot be listed.
    pub complete: bool,
}

/// A file in a directory of a collection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FileView {
    /// The name of the asset.
    pub name: String,
    /// Its size in bytes; null if unknown.
    pub size: Option<u64>,
    /// When it was last modified; null if unknown.
    pub modified: Option<Timestamp>,
    /// The SHA-256 of its bytes, in hex; null before its first request.
    #[serde(with = "text::optional")]
    #[schema(value_type = Option<String>)]
    pub digest: Option<Digest>,
    /// Whether it is cached; null before its first request.
    pub state: Option<AssetState>,
}

impl From<&Collection> for CollectionView {
    fn from(collection: &Collection) -> Self {
        let Collection { prefix, source, digest_from, listing, .. } = collection;
        Self {
            prefix: prefix.clone(),
            source: source.to_string(),
            digest_from: digest_from.iter().map(ToString::to_string).collect(),
            listing: *listing,
        }
    }
}
