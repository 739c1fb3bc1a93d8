//! Retention: what keeps blobs in the cache, and for which reason, so that a refused eviction can report it.
//!
//! A retained asset can be found by name even after the catalog has dropped it: a machine that booted from an earlier
//! catalog can continue with it.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use jiff::Timestamp;
use parking_lot::Mutex;

use crate::asset::{AssetName, Digest};
use crate::cache::Cache;
use crate::catalog::Asset;

/// Why a blob stays in the cache.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RetentionReason {
    /// The configuration pins it: `pin = true`.
    Configuration,
    /// An operator pinned it.
    Operator,
    /// The release of this name needs it; the release is live or active.
    Release(String),
    /// A release that was live needs it, for machines that booted from it.
    PreviousRelease {
        /// The release's name.
        release: String,
        /// When the retention ends.
        until: Timestamp,
    },
    /// The job with this number needs it until the job ends.
    Job(u64),
}

impl fmt::Display for RetentionReason {
    /// The word of the API: `settings`, `operator`, `release okd-4.19`, `job 7`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Configuration => f.write_str("settings"),
            Self::Operator => f.write_str("operator"),
            Self::Release(name) | Self::PreviousRelease { release: name, .. } => write!(f, "release {name}"),
            Self::Job(id) => write!(f, "job {id}"),
        }
    }
}

impl FromStr for RetentionReason {
    type Err = UnknownReason;

    /// Parses the output of `Display`. A previous release parses as [`RetentionReason::Release`]: the text does not have the
    /// end of its retention.
    fn from_str(text: &str) -> Result<Self, UnknownReason> {
        let unknown = || UnknownReason(text.to_owned());
        match text.split_once(' ') {
            None if text == "settings" => Ok(Self::Configuration),
            None if text == "operator" => Ok(Self::Operator),
            Some(("release", name)) => Ok(Self::Release(name.to_owned())),
            Some(("job", id)) => id.parse().map(Self::Job).map_err(|_| unknown()),
            _ => Err(unknown()),
        }
    }
}

/// A text that is not a retention reason.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown reason {0:?}: expected settings, operator, release NAME or job NUMBER")]
pub struct UnknownReason(String);

impl RetentionReason {
    /// The reason and how to end the retention, as a phrase for operators.
    pub(super) fn describe(&self) -> String {
        match self {
            Self::Configuration => "the configuration pins it (pin = true)".to_owned(),
            Self::Operator => "an operator pinned it; unpin it first".to_owned(),
            Self::Release(name) => format!("release {name} needs it; activate another release first"),
            Self::PreviousRelease { release, until } => {
                let until = until.strftime("%Y-%m-%dT%H:%M:%SZ");
                format!("release {release} was live and is kept until {until} for machines that booted from it")
            }
            Self::Job(id) => format!("job {id} needs it; wait until the job ends, or cancel it"),
        }
    }
}

/// All retentions of the depot.
pub(super) struct Retentions {
    cache: Cache,
    /// One entry for each retention of a digest.
    reasons: Mutex<HashMap<Digest, Vec<RetentionReason>>>,
    /// Retained assets by name. One name can have several, of different catalogs; the last is the newest.
    assets: Mutex<HashMap<AssetName, Vec<Arc<Asset>>>>,
}

impl Retentions {
    pub(super) fn new(cache: Cache) -> Self {
        Self { cache, reasons: Mutex::default(), assets: Mutex::default() }
    }

    /// The newest retained asset with this name.
    pub(super) fn by_name(&self, name: &str) -> Option<Arc<Asset>> {
        self.assets.lock().get(name)?.last().cloned()
    }

    /// A retained asset with this digest.
    pub(super) fn by_digest(&self, digest: &Digest) -> Option<Arc<Asset>> {
        self.assets.lock().values().flatten().find(|asset| asset.digest == *digest).cloned()
    }

    /// The reasons why the blob with this digest is retained, sorted, without duplicates.
    pub(super) fn reasons(&self, digest: &Digest) -> Vec<RetentionReason> {
        let mut reasons = self.reasons.lock().get(digest).cloned().unwrap_or_default();
        reasons.sort_unstable();
        reasons.dedup();
        reasons
    }

    /// Retains the blobs of the asset and of its block list, and keeps the asset findable by its name.
    pub(super) fn retain_asset(self: &Arc<Self>, asset: &Arc<Asset>, reason: RetentionReason) -> Retention {
        let block_list = asset.blocks.as_ref().map(|list| list.digest);
        let mut retention = self.retain_digests([asset.digest].into_iter().chain(block_list).collect(), reason);
        self.assets.lock().entry(asset.name.clone()).or_default().push(Arc::clone(asset));
        retention.asset = Some(Arc::clone(asset));
        retention
    }

    /// Retains the blobs with these digests.
    pub(super) fn retain_digests(self: &Arc<Self>, digests: Vec<Digest>, reason: RetentionReason) -> Retention {
        for digest in &digests {
            self.cache.pin(digest);
            self.reasons.lock().entry(*digest).or_default().push(reason.clone());
        }
        Retention { index: Arc::clone(self), digests, reason, asset: None }
    }

    fn remove_asset(&self, asset: &Arc<Asset>) {
        let mut retained = self.assets.lock();
        let Some(assets) = retained.get_mut(&asset.name) else { return };
        if let Some(index) = assets.iter().position(|retained| Arc::ptr_eq(retained, asset)) {
            assets.remove(index);
        }
        if assets.is_empty() {
            retained.remove(&asset.name);
        }
    }

    fn remove_reason(&self, digest: &Digest, reason: &RetentionReason) {
        let mut reasons = self.reasons.lock();
        let Some(list) = reasons.get_mut(digest) else { return };
        if let Some(index) = list.iter().position(|it| it == reason) {
            list.swap_remove(index);
        }
        if list.is_empty() {
            reasons.remove(digest);
        }
    }
}

/// Protects an asset's blob, and its block list's, from eviction until it is dropped, whether they are cached yet or not.
///
/// While it lives, lookups by name still resolve to this asset unless the catalog maps the name elsewhere.
pub struct Retention {
    index: Arc<Retentions>,
    digests: Vec<Digest>,
    reason: RetentionReason,
    /// The asset that lookups by name find.
    asset: Option<Arc<Asset>>,
}

impl Retention {
    /// Changes the reason.
    pub fn set_reason(&mut self, reason: &RetentionReason) {
        if self.reason == *reason {
            return;
        }
        let mut reasons = self.index.reasons.lock();
        for digest in &self.digests {
            let own = reasons.get_mut(digest).and_then(|list| list.iter_mut().find(|it| **it == self.reason));
            if let Some(own) = own {
                *own = reason.clone();
            }
        }
        drop(reasons);
        self.reason = reason.clone();
    }
}

impl Drop for Retention {
    fn drop(&mut self) {
        if let Some(asset) = &self.asset {
            self.index.remove_asset(asset);
        }
        for digest in &self.digests {
            self.index.remove_reason(digest, &self.reason);
            self.index.cache.unpin(digest);
        }
    }
}
