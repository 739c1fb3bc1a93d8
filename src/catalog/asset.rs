//! Assets as the catalog describes them.

use std::time::SystemTime;

use super::media_type::content_type;
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
