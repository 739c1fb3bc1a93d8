//! Eviction of an asset on an operator's request.

use super::facade::Depot;
use super::retention::RetentionReason;
use crate::asset::AssetName;
use crate::cache::{CacheError, EvictError};
use crate::catalog::Asset;
use crate::error_chain::error_chain;
use crate::task::blocking;

/// Why an asset is not evicted.
#[derive(Debug, thiserror::Error)]
pub enum EvictRefusal {
    /// It is not cached.
    #[error("{0} is not in the cache")]
    Absent(AssetName),
    /// Its blob is retained, for this asset or another with the same bytes.
    #[error("{name} is not evicted: {}", describe(.reasons))]
    Retained {
        /// The asset.
        name: AssetName,
        /// The reasons, without duplicates.
        reasons: Vec<RetentionReason>,
    },
    /// A transfer is reading it.
    #[error("{0} is not evicted: a transfer is reading it; try again when its transfers have ended")]
    InUse(AssetName),
    /// The disk failed to remove it.
    #[error("{}", error_chain(.0))]
    Failed(#[from] CacheError),
}

fn describe(reasons: &[RetentionReason]) -> String {
    if reasons.is_empty() {
        // The retention ended between the eviction and this report.
        return "it was needed a moment ago; try again".to_owned();
    }
    reasons.iter().map(RetentionReason::describe).collect::<Vec<_>>().join("; ")
}

impl Depot {
    /// Removes the asset's blob from the cache on an operator's request. Returns the number of bytes freed.
    pub async fn evict(&self, asset: &Asset) -> Result<u64, EvictRefusal> {
        let (cache, digest) = (self.shared.cache.clone(), asset.digest);
        let evicted = blocking(move || cache.evict(&digest)).await;
        evicted.inspect(|_| self.shared.hot.invalidate(&digest)).map_err(|error| match error {
            EvictError::Missing(_) => EvictRefusal::Absent(asset.name.clone()),
            EvictError::Pinned(_) => {
                EvictRefusal::Retained { name: asset.name.clone(), reasons: self.retention_reasons(&digest) }
            }
            EvictError::Held(_) => EvictRefusal::InUse(asset.name.clone()),
            EvictError::Failed(error) => EvictRefusal::Failed(error),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name() -> AssetName {
        AssetName::parse("okd/rootfs.img").unwrap()
    }

    #[test]
    fn refusal_lists_reasons_and_remedies() {
        let reasons = vec![
            RetentionReason::Configuration,
            RetentionReason::Operator,
            RetentionReason::Release("okd-4.19".to_owned()),
            RetentionReason::Job(7),
        ];
        assert_eq!(
            reasons.iter().map(RetentionReason::to_string).collect::<Vec<_>>(),
            ["settings", "operator", "release okd-4.19", "job 7"]
        );
        insta::assert_snapshot!(EvictRefusal::Retained { name: name(), reasons }, @"okd/rootfs.img is not evicted: the configuration pins it (pin = true); an operator pinned it; unpin it first; release okd-4.19 needs it; activate another release first; job 7 needs it; wait until the job ends, or cancel it");
        insta::assert_snapshot!(EvictRefusal::Absent(name()), @"okd/rootfs.img is not in the cache");
        insta::assert_snapshot!(EvictRefusal::InUse(name()), @"okd/rootfs.img is not evicted: a transfer is reading it; try again when its transfers have ended");
    }

    #[test]
    fn refusal_reports_end_of_kept_release() {
        let until = "2026-11-21T14:02:11.5Z".parse().unwrap();
        let reasons = vec![RetentionReason::PreviousRelease { release: "okd-4.18".to_owned(), until }];
        assert_eq!(reasons[0].to_string(), "release okd-4.18");
        insta::assert_snapshot!(EvictRefusal::Retained { name: name(), reasons }, @"okd/rootfs.img is not evicted: release okd-4.18 was live and is kept until 2026-11-21T14:02:11Z for machines that booted from it");
    }
}
