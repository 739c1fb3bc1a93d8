//! Assets, and how the cache stands to each.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use strum::{EnumString, IntoStaticStr, VariantNames};
use utoipa::ToSchema;

use super::text;
use super::word::words;
use crate::asset::Digest;
use crate::depot::Holder;

/// An asset, and how the cache stands to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AssetView {
    /// Its name.
    pub name: String,
    /// The SHA-256 of its bytes, in hex.
    #[serde(with = "text")]
    #[schema(value_type = String)]
    pub digest: Digest,
    /// Its size in bytes, where it is known.
    pub size: Option<u64>,
    /// Whether it is here.
    pub state: AssetState,
    /// Bytes of it that are here.
    pub bytes: u64,
    /// Whether it is held against eviction.
    pub pinned: bool,
    /// By whom: `settings`, `operator`, `release NAME` or `job NUMBER`.
    #[serde(with = "text::list")]
    #[schema(value_type = Vec<String>)]
    pub pinned_by: Vec<Holder>,
    /// Whether it is being read.
    pub in_use: bool,
    /// The releases that it is of.
    pub releases: Vec<String>,
    /// Its media type.
    pub content_type: String,
    /// Where it may be fetched, without what may be secret in it.
    pub sources: Vec<String>,
    /// When it was last asked for.
    pub used: Option<Timestamp>,
    /// When its bytes were last hashed.
    pub verified: Option<Timestamp>,
    /// Why it could not be had when that was last tried, as long as that is remembered.
    pub failure: Option<String>,
    /// When its turn comes to be evicted: 1 is what goes first. None for what is not here or is held.
    pub evicted_next: Option<u64>,
}

/// Whether an asset is here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr, EnumString, VariantNames)]
#[strum(serialize_all = "kebab-case")]
pub enum AssetState {
    /// It is in the cache, verified.
    Cached,
    /// A fill of it is under way.
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
    /// In the order of their names.
    pub assets: Vec<AssetView>,
    /// How many there are in all, before and after these included.
    pub total: usize,
    /// What to ask for as `after`, where more come after these.
    pub next: Option<String>,
}

/// What evicting freed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Evicted {
    /// In bytes.
    pub freed: u64,
}

words! {
    AssetState as "AssetState": "Whether an asset is here.";
}
