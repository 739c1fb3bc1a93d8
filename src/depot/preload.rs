//! Filling the cache without a client.

use std::sync::Arc;

use super::error::ReadError;
use super::facade::Depot;
use super::fill::Fill;
use super::fill_state::FillState;
use super::interest::InterestKind;
use crate::asset::Digest;
use crate::catalog::Asset;

/// Why an asset cannot be cached.
#[derive(Debug, Clone, thiserror::Error)]
pub enum FetchError {
    /// Its bytes cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The cache cannot store it: it has no space, or its disk fails. Clients are still served, bypassing the cache.
    #[error("the cache cannot store it: {0}")]
    NotStored(String),
}

/// How much of an asset is cached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AssetProgress {
    /// Whether the whole is cached, verified.
    pub cached: bool,
    /// Whether its blob is on the disk and not verified.
    pub unverified: bool,
    /// Bytes on the disk: all, or those of an active fill.
    pub bytes: u64,
    /// The size in bytes, if it is known.
    pub size: Option<u64>,
}

/// A cancellable interest in a fill, withdrawn on drop. With the last interest the fill is cancelled; its partial blob stays
/// for a later one.
struct InterestGuard<'d> {
    depot: &'d Depot,
    fill: Arc<Fill>,
}

impl Drop for InterestGuard<'_> {
    fn drop(&mut self) {
        // Fills are joined under this lock, so a caller joins either before this or not at all.
        let _fills = self.depot.active_fills();
        if self.fill.interest().withdraw() {
            self.fill.stop().cancel();
        }
    }
}

impl Depot {
    /// Caches the asset's blob. The blob is in the cache, verified, when this returns `Ok`.
    ///
    /// Starts or joins the blob's fill, which continues to its end even if this future is dropped. An error cached within
    /// the `negative_ttl` is returned without a request to the origin.
    pub async fn fetch(&self, asset: &Arc<Asset>) -> Result<(), FetchError> {
        match self.start_fetch(asset, InterestKind::Permanent)? {
            Some(fill) => wait(&fill).await,
            None => Ok(()),
        }
    }

    /// Like [`Depot::fetch`], but cancels the fill (`cancelled`) if this future is dropped and no other caller needs the
    /// fill. A client that has requested the asset needs it, even if it has disconnected since.
    pub async fn fetch_cancellable(&self, asset: &Arc<Asset>) -> Result<(), FetchError> {
        match self.start_fetch(asset, InterestKind::Cancellable)? {
            Some(fill) => {
                let guard = InterestGuard { depot: self, fill };
                wait(&guard.fill).await
            }
            None => Ok(()),
        }
    }

    /// Starts or joins the fill of the asset. Returns `None` if it is cached.
    fn start_fetch(&self, asset: &Arc<Asset>, interest: InterestKind) -> Result<Option<Arc<Fill>>, FetchError> {
        if self.is_cached(&asset.digest) {
            return Ok(None);
        }
        // An unverified blob needs no origin.
        let known = self.snapshot().known_error(asset);
        if let Some(error) = known.filter(|_| !self.is_unverified(&asset.digest)) {
            return Err(error.into());
        }
        Ok(self.join_fill(asset, interest)?.map(|(fill, _)| fill))
    }

    /// The error of the asset, if every source is known not to have it. Memory only.
    pub fn failure(&self, digest: &Digest) -> Option<ReadError> {
        self.snapshot().known_error(&*self.find_digest(digest)?)
    }

    /// Forgets which sources do not have the asset, so that the next read tries its origins again.
    pub fn forget_failure(&self, digest: &Digest) {
        let snapshot = self.snapshot();
        if let Some(asset) = self.find_digest(digest) {
            snapshot.negative(digest).forget(&snapshot.sources(&asset));
        }
        self.shared.no_space.invalidate(digest);
    }

    /// How much of the asset is cached. Memory only.
    pub fn progress(&self, asset: &Asset) -> AssetProgress {
        if let Some(size) = self.shared.cache.size_of(&asset.digest) {
            return AssetProgress { cached: true, unverified: false, bytes: size, size: Some(size) };
        }
        let none = AssetProgress { size: asset.size, ..AssetProgress::default() };
        if let Some(size) = self.shared.cache.unverified_size_of(&asset.digest) {
            return AssetProgress { unverified: true, bytes: size, size: Some(asset.size.unwrap_or(size)), ..none };
        }
        let fill = self.active_fills().get(&asset.digest).cloned();
        match fill.as_ref().map(|fill| (fill, fill.state())) {
            Some((fill, FillState::Filling(stored))) => {
                AssetProgress { bytes: fill.progress().written(), size: Some(stored.size()), ..none }
            }
            _ => none,
        }
    }
}

/// Waits for the end of a fill.
async fn wait(fill: &Fill) -> Result<(), FetchError> {
    match fill.wait_ended().await {
        FillState::Failed(error) => Err(error.into()),
        FillState::NotStored(not_stored) => Err(FetchError::NotStored(not_stored.reason)),
        FillState::Complete(_) | FillState::Starting | FillState::Filling(_) => Ok(()),
    }
}
