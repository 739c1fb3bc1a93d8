//! An asset opened for reading, and the way its bytes are found: in the cache, in a fill, or around both.

use std::sync::Arc;

use bytes::Bytes;
use futures_core::future::BoxFuture;

use super::blob::Blob;
use super::bypass::Bypass;
use super::stream::Terms;
use super::verdict::SourceFailures;
use super::{ByteStream, CacheState, Delivery, Depot, Found, ReadError, Wanting, sources};
use crate::asset::ByteRange;
use crate::cache::Entry;
use crate::catalog::Asset;
use crate::task::blocking;

/// Blobs up to this size are kept in memory once they are asked for: boot scripts, NBPs' configuration, grub.cfg.
const HOT_BLOB: u64 = 64 << 10;

/// An asset opened for reading: its size is known, and its bytes are here or can be asked for.
pub struct Reader {
    pub(super) depot: Depot,
    pub(super) asset: Arc<Asset>,
    pub(super) size: u64,
    /// The blob, where it is here.
    pub(super) entry: Option<Entry>,
    /// Opening it began the fill.
    pub(super) began: bool,
}

impl Reader {
    /// The asset's size in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Streams `range` (cut to the asset's size). Returns when the first piece is there to be sent, so an asset that
    /// cannot be had fails here, before a front end has said that all is well.
    ///
    /// Begins or joins the fill of an asset that is not here; the range's parts move to the front of its queue.
    pub async fn stream(&self, range: ByteRange, delivery: Delivery) -> Result<ByteStream, ReadError> {
        let range = range.intersect(&ByteRange::whole(self.size));
        let stream = self.open_stream(range, delivery).await;
        if stream.is_err() {
            // It may be the size that was wrong: it is not said again without being asked for anew.
            let supply = self.depot.supply();
            let whence = supply.whence(&self.asset.digest, &sources(&supply, &self.asset));
            supply.memory.sizes.invalidate(&whence).await;
        }
        stream
    }

    async fn open_stream(&self, range: ByteRange, delivery: Delivery) -> Result<ByteStream, ReadError> {
        let terms = Terms { size: self.size, delivery, release: self.depot.shared.supply.load().settings.release };
        loop {
            // What was filled since the asset was opened is here now.
            let found = match &self.entry {
                Some(entry) => Found::Blob(entry.clone()),
                None => self.depot.look(&self.asset.digest).await,
            };
            if let Found::Blob(entry) = found {
                terms.hold(entry.size())?;
                let state = if self.began { CacheState::Miss } else { CacheState::Hit };
                let blob = Blob::new(self.depot.clone(), Arc::clone(&self.asset), entry);
                return self.blob_stream(blob, range, delivery, state).await;
            }
            let bypass = self.bypass(range);
            let unreadable = matches!(found, Found::Unreadable(_));
            if unreadable || self.depot.shared.unstored.contains_key(&self.asset.digest) {
                return ByteStream::bypass(bypass.await, range.len()).await;
            }
            if let Some((fill, state)) = self.depot.join(&self.asset, Wanting::Lasting)? {
                let state = if self.began { CacheState::Miss } else { state };
                return ByteStream::fill(self.depot.clone(), fill, range, terms, state, bypass).await;
            }
        }
    }

    async fn blob_stream(
        &self,
        blob: Blob,
        range: ByteRange,
        delivery: Delivery,
        state: CacheState,
    ) -> Result<ByteStream, ReadError> {
        if blob.size() > HOT_BLOB {
            return Ok(ByteStream::blob(blob, range, delivery, state));
        }
        let bytes = self.depot.hot(blob).await?;
        // Cut to the size above, which is at most `HOT_BLOB`.
        let at = |offset: u64| usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
        Ok(ByteStream::ready(bytes.slice(at(range.start)..at(range.end)), state))
    }

    /// The way around the cache, should it be needed.
    fn bypass(&self, range: ByteRange) -> BoxFuture<'static, Bypass> {
        let (depot, asset, size) = (self.depot.clone(), Arc::clone(&self.asset), self.size);
        Box::pin(async move {
            let blocks = depot.clone().block_list(Arc::clone(&asset)).await;
            let supply = depot.supply();
            // The semaphore is never closed.
            let slot = Arc::clone(&supply.bypasses).acquire_owned().await.ok();
            Bypass {
                sources: sources(&supply, &asset).into(),
                origins: supply.origins.clone(),
                retries: supply.settings.retries,
                blocks: blocks.filter(|list| list.size() == size),
                failures: SourceFailures::default(),
                run: None,
                asset,
                range,
                size,
                slot,
            }
        })
    }
}

impl Depot {
    /// A small blob's bytes, in memory from its first use on.
    async fn hot(&self, blob: Blob) -> Result<Bytes, ReadError> {
        let digest = *blob.digest();
        if let Some(bytes) = self.shared.hot.get(&digest) {
            return Ok(bytes);
        }
        let whole = ByteRange::whole(blob.size());
        let bytes = match blob.read_resident(whole, Delivery::Copied) {
            Some(bytes) => bytes,
            None => blocking(move || blob.read(whole, Delivery::Copied)).await?,
        };
        self.shared.hot.insert(digest, bytes.clone());
        Ok(bytes)
    }
}
