//! Lookups of an asset's blob and of its size.

use std::sync::Arc;

use super::error::ReadError;
use super::facade::Depot;
use super::fill_state::FillState;
use super::interest::InterestKind;
use super::ladder::Rung;
use super::resuming_read::ResumingRead;
use super::snapshot::Snapshot;
use super::source_access::SourceAccess;
use super::source_error::SourceError;
use super::source_failures::{RETRY_AFTER, SourceFailures};
use crate::asset::{ByteRange, Digest, SourceUrl};
use crate::cache::Entry;
use crate::catalog::Asset;
use crate::task::blocking;

/// The result of looking up a blob in the cache.
pub(super) enum Lookup {
    /// The open blob.
    Cached(Entry),
    /// A blob of this size, which cannot be opened.
    Unreadable(u64),
    /// A blob whose fill hashes it first.
    Unverified,
    /// No blob.
    Missing,
}

impl Depot {
    /// Looks up a blob in the cache.
    pub(super) async fn look_up(&self, digest: &Digest) -> Lookup {
        let cache = &self.shared.cache;
        if let Some(entry) = cache.get_if_open(digest) {
            return Lookup::Cached(entry);
        }
        // The seal of an unverified blob may verify it when it is opened.
        if cache.size_of(digest).is_some() || self.is_unverified(digest) {
            let (opening, key) = (cache.clone(), *digest);
            match (blocking(move || opening.get(&key)).await, cache.size_of(digest)) {
                (Some(entry), _) => return Lookup::Cached(entry),
                (None, Some(size)) => return Lookup::Unreadable(size),
                (None, None) => {}
            }
        }
        if self.is_unverified(digest) { Lookup::Unverified } else { Lookup::Missing }
    }

    /// The asset's size in bytes, if the cache, the catalog or an active fill has it. Memory only.
    pub fn known_size(&self, asset: &Asset) -> Option<u64> {
        let filling = || {
            let state = self.active_fills().get(&asset.digest).map(|fill| fill.state());
            match state? {
                FillState::Filling(stored) => Some(stored.size()),
                FillState::Complete(entry) => Some(entry.size()),
                FillState::NotStored(not_stored) => not_stored.size(),
                _ => None,
            }
        };
        self.shared.cache.size_of(&asset.digest).or(asset.size).or_else(filling)
    }

    /// The asset's size in bytes. If it is not known, sends one request to the origin. That starts no fill, unless the origin
    /// does not say the size. If the blob is on the disk and unverified, hashes it instead.
    pub async fn size(&self, asset: &Arc<Asset>) -> Result<u64, ReadError> {
        if let Some(size) = self.known_size(asset) {
            return Ok(size);
        }
        if self.is_unverified(&asset.digest) {
            // If that fails, the origin is asked, and its error is the one that counts.
            let _ = Box::pin(self.fetch(asset)).await;
            if let Some(size) = self.known_size(asset) {
                return Ok(size);
            }
        }
        let snapshot = self.snapshot();
        let sources = snapshot.sources(asset);
        let negative = snapshot.negative(&asset.digest);
        if let Some(error) = SourceFailures::known_error(&negative, &sources) {
            return Err(error);
        }
        let key = snapshot.source_key(&asset.digest, &sources);
        // Also while a fill is active: it may wait for its permit before it learns the size.
        let request = async {
            match request_size(&snapshot, asset, &sources).await? {
                Some(size) => Ok(size),
                None => self.measured_size(asset).await,
            }
        };
        // Boxed: inline it would add 6 KiB to the future of every request, which is moved for each request.
        let size = Box::pin(snapshot.replies.sizes.try_get_with(key, request)).await;
        size.map_err(|error| ReadError::clone(&error))
    }

    /// The size of an asset whose sources do not say it. Starts or joins its fill, which learns the size from the bytes.
    async fn measured_size(&self, asset: &Arc<Asset>) -> Result<u64, ReadError> {
        let Some((fill, _)) = self.join_fill(asset, InterestKind::Permanent)? else {
            return self.shared.cache.size_of(&asset.digest).ok_or_else(unknown_size);
        };
        match fill.wait_started().await {
            FillState::Filling(partial) => Ok(partial.size()),
            FillState::Complete(entry) => Ok(entry.size()),
            FillState::Failed(error) => Err(error),
            FillState::Starting | FillState::NotStored(_) => Err(unknown_size()),
        }
    }
}

fn unknown_size() -> ReadError {
    let reason = "no source says how long it is; set its size in the catalog".to_owned();
    ReadError::Unavailable { reason, retry_after: RETRY_AFTER }
}

/// Requests the size from the sources, in order. `None` if one has the object but does not say its size.
async fn request_size(snapshot: &Snapshot, asset: &Asset, sources: &[SourceUrl]) -> Result<Option<u64>, ReadError> {
    let mut failures = SourceFailures::default();
    let negative = snapshot.negative(&asset.digest);
    for source in sources {
        if let Some(known) = negative.get(source) {
            failures.add_known(source, known);
            continue;
        }
        let access = SourceAccess::new(&asset.name, &snapshot.origins, source, None, snapshot.settings.retries);
        let access = Arc::new(access);
        let mut opened = ResumingRead::open(&access, ByteRange::new(0, 1), true).await;
        if opened.as_ref().is_ok_and(|read| read.total().is_none()) && !access.is_stream() {
            access.lower_to(Rung::Stream, &SourceError::NoLength);
            opened = ResumingRead::open(&access, ByteRange::new(0, 1), true).await;
        }
        match opened {
            Ok(read) => return Ok(read.total()),
            Err(error) => {
                negative.add_error(source, &error);
                failures.add_error(&error);
            }
        }
    }
    Err(failures.into_outcome().1)
}
