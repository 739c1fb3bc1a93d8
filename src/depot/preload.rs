//! Bringing assets into the cache for no client.

use std::sync::Arc;

use super::fill::{Fill, Phase};
use super::stock::{Supply, Whence};
use super::{Depot, ReadError, Wanting, sources};
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

/// A wish for a fill that ends with its owner. When the last wish for a fill ends and no client has asked for it, the fill
/// ends, too, and keeps what it has for a later one.
struct Wish<'d> {
    depot: &'d Depot,
    fill: Arc<Fill>,
}

impl Drop for Wish<'_> {
    fn drop(&mut self) {
        // Whoever joins the fill does it under this lock, and so before this or not at all.
        let _fills = self.depot.filling();
        if self.fill.wishes().revoke() {
            self.fill.stop().cancel();
        }
    }
}

impl Depot {
    /// Brings the asset's blob into the cache; when this returns well, it is there and proven.
    ///
    /// It begins or joins the blob's one fill, which needs no client and goes on to its end when this is dropped. A failure
    /// that was seen within the `negative_ttl` is told again without asking.
    pub async fn fetch(&self, asset: &Arc<Asset>) -> Result<(), FetchError> {
        match self.ask_for(asset, Wanting::Lasting)? {
            Some(fill) => outcome(&fill).await,
            None => Ok(()),
        }
    }

    /// The same for whoever may change its mind: when this is dropped before its end and nobody else wants the fill, the
    /// fill is ended as `cancelled`. A client that came meanwhile is somebody, whether it still waits or not.
    pub async fn fetch_while_wanted(&self, asset: &Arc<Asset>) -> Result<(), FetchError> {
        match self.ask_for(asset, Wanting::Revocable)? {
            Some(fill) => {
                let wish = Wish { depot: self, fill };
                outcome(&wish.fill).await
            }
            None => Ok(()),
        }
    }

    /// The fill that brings the asset; none when it is here.
    fn ask_for(&self, asset: &Arc<Asset>, wanting: Wanting) -> Result<Option<Arc<Fill>>, FetchError> {
        if self.is_proven(&asset.digest) {
            return Ok(None);
        }
        let supply = self.supply();
        if let Some(error) = supply.memory.failed.get(&supply.whence(&asset.digest, &sources(&supply, asset))) {
            return Err(error.into());
        }
        Ok(self.join(asset, wanting)?.map(|(fill, _)| fill))
    }

    /// Why the asset could not be had when that was last tried, as long as that is remembered. Memory only.
    pub fn failure(&self, digest: &Digest) -> Option<ReadError> {
        let supply = self.supply();
        supply.memory.failed.get(&self.whence(&supply, digest)?)
    }

    /// Forgets that the asset could not be had: the next who wants it asks its origins again.
    pub fn forget_failure(&self, digest: &Digest) {
        let supply = self.supply();
        if let Some(whence) = self.whence(&supply, digest) {
            supply.memory.failed.invalidate(&whence);
        }
        self.shared.unstored.invalidate(digest);
    }

    /// The blob of this digest as the sources have it that are known now.
    fn whence(&self, supply: &Supply, digest: &Digest) -> Option<Whence> {
        let asset = self.find_digest(digest)?;
        Some(supply.whence(digest, &sources(supply, &asset)))
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
        let fill = self.filling().get(&asset.digest).cloned();
        match fill.as_ref().map(|fill| (fill, fill.phase())) {
            Some((fill, Phase::Filling(partial))) => {
                Progress { proven: false, bytes: fill.board().written(), size: Some(partial.size()) }
            }
            _ => Progress { proven: false, bytes: 0, size: asset.size },
        }
    }
}

/// What a fill came to.
async fn outcome(fill: &Fill) -> Result<(), FetchError> {
    match fill.ended().await {
        Phase::Failed(error) => Err(error.into()),
        Phase::Unstored(reason) => Err(FetchError::Unstored(reason)),
        Phase::Complete(_) | Phase::Starting | Phase::Filling(_) => Ok(()),
    }
}
