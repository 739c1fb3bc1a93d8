//! Assets, and what the cache has of each.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use strum::{EnumString, IntoStaticStr, VariantNames};
use utoipa::ToSchema;

use super::text;
use super::word::words;
use crate::asset::Digest;
use crate::depot::RetentionReason;

/// An asset, and what the cache has of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AssetView {
    /// Its name.
    pub name: String,
    /// The SHA-256 of its bytes, in hex.
    #[serde(with = "text")]
    #[schema(value_type = String)]
    pub digest: Digest,
    /// Its size in bytes; null if unknown.
    pub size: Option<u64>,
    /// Whether it is cached.
    pub state: AssetState,
    /// Bytes of it that are in the cache.
    pub bytes: u64,
    /// Whether it is pinned, so that it is not evicted.
    pub pinned: bool,
    /// Its pins: `settings`, `operator`, `release NAME` or `job NUMBER`.
    #[serde(with = "text::list")]
    #[schema(value_type = Vec<String>)]
    pub pinned_by: Vec<RetentionReason>,
    /// Whether it is being read.
    pub in_use: bool,
    /// The releases that it belongs to.
    pub releases: Vec<String>,
    /// Its media type.
    pub content_type: String,
    /// Its source URLs, without secrets.
    pub sources: Vec<String>,
    /// When it was last requested.
    pub used: Option<Timestamp>,
    /// When its bytes were last hashed.
    pub verified: Option<Timestamp>,
    /// Why the last fill failed, while that is remembered (`fill.negative_ttl`).
    pub failure: Option<String>,
    /// Its place in the order of eviction: 1 is evicted first. Null if it is not cached or is pinned.
    pub evicted_next: Option<u64>,
}

/// Whether an asset is cached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr, EnumString, VariantNames)]
#[strum(serialize_all = "kebab-case")]
pub enum AssetState {
    /// It is in the cache, verified.
    Cached,
    /// It is on the disk, and its file is not the one that was verified: it is hashed before it is used.
    Unverified,
    /// It is being fetched.
    Filling,
    /// Neither.
    Missing,
}

impl AssetState {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// Some assets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AssetList {
    /// Sorted by name.
    pub assets: Vec<AssetView>,
    /// How many assets match in all, those on other pages included.
    pub total: usize,
    /// The value of `after` for the next page; null on the last page.
    pub next: Option<String>,
}

/// The result of an eviction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Evicted {
    /// Bytes freed.
    pub freed: u64,
}

words! {
    AssetState as "AssetState": "Whether an asset is cached.";
}
