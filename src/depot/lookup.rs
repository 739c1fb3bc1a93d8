//! Lookups of an asset's blob and of its size.

use std::sync::Arc;

use super::error::ReadError;
use super::facade::Depot;
use super::fill_state::FillState;
use super::negative_cache::NegativeEntries;
use super::resuming_read::ResumingRead;
use super::snapshot::Snapshot;
use super::source_failures::SourceFailures;
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
        if cache.size_of(digest).is_none() {
            return Lookup::Missing;
        }
        let (opening, key) = (cache.clone(), *digest);
        match (blocking(move || opening.get(&key)).await, cache.size_of(digest)) {
            (Some(entry), _) => Lookup::Cached(entry),
            (None, Some(size)) => Lookup::Unreadable(size),
            (None, None) => Lookup::Missing,
        }
    }

    /// The asset's size in bytes, if the cache, the catalog or an active fill has it. Memory only.
    pub fn known_size(&self, asset: &Asset) -> Option<u64> {
        let filling = || {
            let state = self.active_fills().get(&asset.digest).map(|fill| fill.state());
            match state? {
                FillState::Filling(partial) => Some(partial.size()),
                FillState::Complete(entry) => Some(entry.size()),
                _ => None,
            }
        };
        self.shared.cache.size_of(&asset.digest).or(asset.size).or_else(filling)
    }

    /// The asset's size in bytes. If it is not known, sends one request to the origin; that starts no fill.
    pub async fn size(&self, asset: &Arc<Asset>) -> Result<u64, ReadError> {
        if let Some(size) = self.known_size(asset) {
            return Ok(size);
        }
        let snapshot = self.snapshot();
        let sources = snapshot.sources(asset);
        let negative = snapshot.negative(&asset.digest);
        if let Some(error) = SourceFailures::known_error(&negative, &sources) {
            return Err(error);
        }
        let key = snapshot.source_key(&asset.digest, &sources);
        // Also while a fill is active: it may wait for its permit before it learns the size.
        // Boxed: inline it would add 6 KiB to the future of every request, which is moved for each request.
        let requesting = request_size(&snapshot, &negative, &sources);
        let size = Box::pin(snapshot.replies.sizes.try_get_with(key, requesting)).await;
        size.map_err(|error| ReadError::clone(&error))
    }
}

/// Requests the size from the sources, in order.
async fn request_size(
    snapshot: &Snapshot,
    negative: &NegativeEntries,
    sources: &[SourceUrl],
) -> Result<u64, ReadError> {
    let mut failures = SourceFailures::default();
    for source in sources {
        if let Some(known) = negative.get(source) {
            failures.add_known(source, known);
            continue;
        }
        let first_byte = ByteRange::new(0, 1);
        match ResumingRead::open(&snapshot.origins, source, first_byte, None, snapshot.settings.retries).await {
            Ok(read) => return Ok(read.total()),
            Err(error) => {
                negative.add_error(source, &error);
                failures.add_error(&error);
            }
        }
    }
    Err(failures.into_outcome().1)
}
