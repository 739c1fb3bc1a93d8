//! An asset opened for reading. Its bytes come from the cache, from a fill, or directly from the origin.

use std::sync::Arc;

use bytes::Bytes;

use super::blob::Blob;
use super::cache_state::CacheState;
use super::error::ReadError;
use super::facade::Depot;
use super::fill_state::FillState;
use super::interest::InterestKind;
use super::lookup::Lookup;
use super::settings::{Delivery, StreamOptions};
use super::stream::ByteStream;
use crate::asset::{ByteRange, Digest};
use crate::cache::Entry;
use crate::catalog::Asset;
use crate::memory::StreamMemory;
use crate::task::blocking;

/// Blobs up to this size, in bytes, are kept in memory after their first read: boot scripts, configuration files of network
/// boot programs, `grub.cfg`.
const HOT_BLOB: u64 = 64 << 10;

/// An asset opened for reading. Its size is known; its bytes are cached or can be fetched.
pub struct Reader {
    depot: Depot,
    asset: Arc<Asset>,
    size: u64,
    /// The blob. `None` if it is not cached, unverified, or cannot be opened.
    entry: Option<Entry>,
    /// Whether opening the asset started its fill.
    started_fill: bool,
}

impl Reader {
    /// The asset's size in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Streams `range`, truncated to the asset's size. Returns when the first piece is available, so that an unavailable
    /// asset fails here, before a front end has sent a success status.
    ///
    /// Starts or joins the fill of an asset that is not cached. The fill fetches the parts of the range first.
    pub async fn stream(&self, range: ByteRange, delivery: Delivery) -> Result<ByteStream, ReadError> {
        self.stream_with(range, delivery, None).await
    }

    /// The same. Copied bytes are charged to `memory` before they are read, and no piece exceeds its window.
    pub async fn stream_charged(
        &self,
        range: ByteRange,
        delivery: Delivery,
        memory: StreamMemory,
    ) -> Result<ByteStream, ReadError> {
        self.stream_with(range, delivery, Some(memory)).await
    }

    async fn stream_with(
        &self,
        range: ByteRange,
        delivery: Delivery,
        memory: Option<StreamMemory>,
    ) -> Result<ByteStream, ReadError> {
        let range = range.intersect(&ByteRange::whole(self.size));
        let options = StreamOptions { size: self.size, delivery, release: self.depot.release(), memory };
        let stream = self.open_stream(range, options).await;
        if stream.is_err() {
            // The size may have been wrong: it is not used again without a new request.
            let snapshot = self.depot.snapshot();
            snapshot.replies.sizes.invalidate(&snapshot.asset_key(&self.asset)).await;
        }
        stream
    }

    async fn open_stream(&self, range: ByteRange, options: StreamOptions) -> Result<ByteStream, ReadError> {
        let mut opened = self.entry.clone();
        loop {
            // The blob may have been filled since the asset was opened.
            let found = match opened.take() {
                Some(entry) => Lookup::Cached(entry),
                None => self.depot.look_up(&self.asset.digest).await,
            };
            let streams_past_cache = match found {
                Lookup::Cached(entry) => {
                    options.check_size(entry.size())?;
                    let state = if self.started_fill { CacheState::Miss } else { CacheState::Hit };
                    let blob = Blob::new(self.depot.clone(), Arc::clone(&self.asset), entry);
                    match self.blob_stream(blob, range, &options, state).await? {
                        Some(stream) => return Ok(stream),
                        // It is looked up again.
                        None => continue,
                    }
                }
                Lookup::Unreadable(_) => true,
                Lookup::Unverified => false,
                Lookup::Missing => self.depot.shared.no_space.contains_key(&self.asset.digest),
            };
            // Boxed below: a request for a cached blob need not carry the state of a fill.
            let bypass = self.depot.bypass(&self.asset, self.size, range);
            if streams_past_cache {
                return Box::pin(ByteStream::bypass(bypass, range.len(), options.memory)).await;
            }
            if let Some((fill, state)) = self.depot.join_fill(&self.asset, InterestKind::Permanent)? {
                let state = if self.started_fill { CacheState::Miss } else { state };
                let opening = ByteStream::fill(self.depot.clone(), fill, range, options, state, bypass);
                return Box::pin(opening).await;
            }
        }
    }

    /// A stream of a cached blob. `None` if its file was changed since it was verified.
    async fn blob_stream(
        &self,
        blob: Blob,
        range: ByteRange,
        options: &StreamOptions,
        state: CacheState,
    ) -> Result<Option<ByteStream>, ReadError> {
        if blob.size() > HOT_BLOB {
            return Ok(blob.is_unchanged().then(|| ByteStream::blob(blob, range, options, state)));
        }
        let bytes = match self.depot.hot(blob).await {
            // The disk failed to read it.
            Err(ReadError::Disk(_)) => {
                let bypass = self.depot.bypass(&self.asset, self.size, range);
                return Box::pin(ByteStream::bypass(bypass, range.len(), options.memory.clone())).await.map(Some);
            }
            hot => hot?,
        };
        let Some(bytes) = bytes else { return Ok(None) };
        // Truncated to the size above, which is at most `HOT_BLOB`.
        let at = |offset: u64| usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
        Ok(Some(ByteStream::ready(bytes.slice(at(range.start)..at(range.end)), state)))
    }
}

impl Depot {
    /// Opens the asset for reading. Returns when its size is known.
    ///
    /// If neither the cache nor the catalog has the size, this starts the fill: the origin's first reply reports it.
    pub async fn read(&self, asset: &Arc<Asset>) -> Result<Reader, ReadError> {
        let reader =
            |size, entry| Reader { depot: self.clone(), asset: Arc::clone(asset), size, entry, started_fill: false };
        loop {
            match self.look_up(&asset.digest).await {
                Lookup::Cached(entry) => return Ok(reader(entry.size(), Some(entry))),
                Lookup::Unreadable(size) => return Ok(reader(size, None)),
                Lookup::Unverified | Lookup::Missing => {}
            }
            let snapshot = self.snapshot();
            // An unverified blob needs no origin.
            if let Some(error) = snapshot.known_error(asset).filter(|_| !self.is_unverified(&asset.digest)) {
                return Err(error);
            }
            let key = snapshot.asset_key(asset);
            let known = match asset.size {
                Some(size) => Some(size),
                None => snapshot.replies.sizes.get(&key).await,
            };
            if let Some(size) = known {
                return Ok(reader(size, None));
            }
            let Some((fill, state)) = self.join_fill(asset, InterestKind::Permanent)? else { continue };
            let size = match fill.wait_started().await {
                FillState::Filling(stored) => stored.size(),
                FillState::Complete(entry) => entry.size(),
                FillState::NotStored(not_stored) => match not_stored.size() {
                    Some(size) => size,
                    None => Box::pin(self.size(asset)).await?,
                },
                FillState::Starting => Box::pin(self.size(asset)).await?,
                FillState::Failed(error) => return Err(error),
            };
            snapshot.replies.sizes.insert(key, size).await;
            return Ok(Reader { started_fill: state == CacheState::Miss, ..reader(size, None) });
        }
    }

    /// The bytes of a small blob, from memory after its first read. `None` if its file was changed since it was verified.
    async fn hot(&self, blob: Blob) -> Result<Option<Bytes>, ReadError> {
        let digest = *blob.digest();
        if let Some(bytes) = self.shared.hot.get(&digest) {
            // Read while the file was unchanged; whatever has become of it, these bytes have the digest.
            return Ok(Some(bytes));
        }
        if !blob.is_unchanged() {
            return Ok(None);
        }
        let whole = ByteRange::whole(blob.size());
        let bytes = if let Some(bytes) = blob.read_resident(whole) {
            bytes
        } else {
            let reading = blob.clone();
            blocking(move || reading.read(whole)).await?
        };
        if !blob.is_intact() {
            return Ok(None);
        }
        // They stay in memory longer than the blob may: one hash, of at most 64 KiB, when they come in.
        if Digest::of(&bytes) != digest {
            return Err(blob.report_corrupt());
        }
        self.shared.hot.insert(digest, bytes.clone());
        Ok(Some(bytes))
    }
}
