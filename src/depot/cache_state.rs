//! Where the bytes of a transfer came from.

use serde::{Deserialize, Serialize};
use strum::{EnumCount, EnumString, IntoStaticStr, VariantNames};

/// Where the bytes of a transfer came from, nearest first.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    EnumCount,
    IntoStaticStr,
    EnumString,
    VariantNames,
)]
#[strum(serialize_all = "kebab-case")]
#[serde(rename_all = "kebab-case")]
pub enum CacheState {
    /// The cache.
    Hit,
    /// A fill that was already active.
    Join,
    /// A fill that this transfer started.
    Miss,
    /// The origin directly, without storing: the cache had no space.
    Bypass,
}

impl CacheState {
    /// The word in logs and metrics.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}
