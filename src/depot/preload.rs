//! Bringing assets into the cache for no client.

use std::sync::Arc;

use super::fill::Phase;
use super::{Depot, ReadError, sources};
use crate::asset::Digest;
use crate::catalog::Asset;

/// Why an asset cannot be brought into the cache.
#[derive(Debug, Clone, thiserror::Error)]
pub enum FetchError {
    /// Its bytes cannot be had.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The cache cannot take them: it has no room, or its disk fails. Clients are still served, around the cache.
    #[error("the cache cannot take it: {0}")]
    Unstored(String),
}

/// How far an asset has come into the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Progress {
    /// All of it is here and proven.
    pub proven: bool,
    /// Bytes that are here: all, or those of a fill under way.
    pub bytes: u64,
    /// Its size in bytes, where that is known.
    pub size: Option<u64>,
}

impl Depot {
    /// Brings the asset's blob into the cache; when this returns well, it is there and proven.
    ///
    /// It begins or joins the blob's one fill, which needs no client and goes on to its end when this is dropped. A failure
    /// that was seen within the `negative_ttl` is told again without asking.
    pub async fn fetch(&self, asset: &Arc<Asset>) -> Result<(), FetchError> {
        if self.is_proven(&asset.digest) {
            return Ok(());
        }
        let supply = self.supply();
        if let Some(error) = supply.memory.failed.get(&supply.whence(&asset.digest, &sources(&supply, asset))) {
            return Err(error.into());
        }
        let Some((fill, _)) = self.join(asset)? else { return Ok(()) };
        match fill.ended().await {
            Phase::Failed(error) => Err(error.into()),
            Phase::Unstored(reason) => Err(FetchError::Unstored(reason)),
            Phase::Complete(_) | Phase::Starting | Phase::Filling(_) => Ok(()),
        }
    }

    /// Whether the blob of this digest is in the cache, where nothing is that is not proven. Memory only.
    pub fn is_proven(&self, digest: &Digest) -> bool {
        self.shared.cache.size_of(digest).is_some()
    }

    /// How far the asset has come into the cache. Memory only.
    pub fn progress(&self, asset: &Asset) -> Progress {
        if let Some(size) = self.shared.cache.size_of(&asset.digest) {
            return Progress { proven: true, bytes: size, size: Some(size) };
        }
        let fill = self.fills().get(&asset.digest).cloned();
        match fill.as_ref().map(|fill| (fill, fill.phase())) {
            Some((fill, Phase::Filling(partial))) => {
                Progress { proven: false, bytes: fill.board().written(), size: Some(partial.size()) }
            }
            _ => Progress { proven: false, bytes: 0, size: asset.size },
        }
    }
}
