//! The task of one fill: tries the sources in order, fetches parts over several connections, hashes what is written, and
//! admits the verified blob to the cache.

use std::sync::Arc;
use std::time::Duration;

use futures_core::future::BoxFuture;
use futures_util::FutureExt as _;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::error::ReadError;
use super::fill::Fill;
use super::fill_guard::{FillEnd, FillGuard};
use super::fill_history::FillHistory;
use super::fill_state::FillState;
use super::hashing;
use super::negative_cache::NegativeEntries;
use super::outcome::FillOutcome;
use super::part_fetcher::PartFetcher;
use super::partial_state::{PartialState, note, same_object};
use super::resuming_read::ResumingRead;
use super::settings::FillSettings;
use super::source_error::{SourceError, Spoiled};
use super::source_failures::{RETRY_AFTER, SourceFailures};
use crate::asset::{BlockList, ByteRange, SourceUrl, Verifier};
use crate::cache::{Cache, CacheError, Entry};
use crate::error_chain::error_chain;
use crate::origin::{Origins, Validator};
use crate::span;
use crate::task::{self, blocking};

/// How often, and at which interval, to retry opening a partial blob that a reader of an earlier fill still uses.
const BUSY_RETRIES: u32 = 20;
const BUSY_INTERVAL: Duration = Duration::from_millis(50);

/// The largest chunk that a partial blob records, in bytes. However large the requested parts are, an interrupted fill loses
/// at most one chunk per connection, and what was not yet on disk. Each chunk costs about 50 bytes of log.
const MAX_CHUNK: u64 = 256 << 10;

/// Everything that the task of a fill needs.
pub(super) struct FillTask {
    pub(super) fill: Arc<Fill>,
    /// In the order to try them.
    pub(super) sources: Vec<SourceUrl>,
    pub(super) origins: Origins,
    /// What is remembered of sources that do not have the blob.
    pub(super) negative: NegativeEntries,
    pub(super) cache: Cache,
    pub(super) settings: FillSettings,
    /// One permit for each running fill.
    pub(super) permits: Arc<Semaphore>,
    /// Cancelled when the depot closes.
    pub(super) stop: CancellationToken,
    pub(super) history: Arc<FillHistory>,
    /// A cancelled fill of the same blob that has not ended yet: it still uses the partial blob.
    pub(super) previous: Option<Arc<Fill>>,
}

impl FillTask {
    /// Runs the fill to its end. `block_list` loads the asset's block list; it returns `None` if there is none.
    pub(super) async fn run(self, block_list: BoxFuture<'static, Option<Arc<BlockList>>>) {
        let mut guard = FillGuard::new(Arc::clone(&self.fill), Arc::clone(&self.history));
        let span = guard.span();
        let mut partial = None;
        let work = async {
            if let Some(previous) = &self.previous {
                previous.wait_ended().await;
            }
            let block_list = block_list.await;
            // The semaphore is never closed.
            let _permit = self.permits.acquire().await;
            self.fill.set_running();
            self.try_sources(block_list.as_ref(), &mut partial).await
        };
        let end = match self.fill.stop().run_until_cancelled(span.around(work)).await {
            Some(end) => end,
            None if self.stop.is_cancelled() => FillEnd::stopped(),
            None => FillEnd::cancelled(),
        };
        self.fill.wait_idle().await;
        guard.set_end(end, partial.map_or(0, |state| state.reused));
    }

    /// Tries the sources in order until one provides the blob.
    async fn try_sources(&self, block_list: Option<&Arc<BlockList>>, partial: &mut Option<PartialState>) -> FillEnd {
        let asset = &self.fill.asset().name;
        let mut failures = SourceFailures::default();
        for source in &self.sources {
            if let Some(known) = self.negative.get(source) {
                failures.add_known(source, known);
                continue;
            }
            let error = match self.try_source(source, block_list, partial).await {
                Ok(entry) => {
                    return FillEnd { outcome: FillOutcome::Complete, state: FillState::Complete(entry), detail: None };
                }
                Err(error) => error,
            };
            self.remember(source, &error);
            match error {
                SourceError::Cache(error) => return not_stored(&error, partial.as_ref()).await,
                SourceError::Panicked(error) => return FillEnd::panicked(error),
                SourceError::WrongWhole(reason)
                | SourceError::WrongBlock(reason)
                | SourceError::WrongLength(reason) => {
                    warn!(%asset, %source, reason, "source has wrong bytes");
                    failures.add_wrong_bytes(source, &reason);
                }
                SourceError::Changed => failures.add_changed(source),
                SourceError::Origin(error) => {
                    warn!(%asset, %source, %error, "source not readable");
                    failures.add_error(&error);
                }
            }
            if let Some(state) = partial {
                state.single_source = self.fill.progress().written() == 0;
            }
        }
        let (outcome, error) = failures.into_outcome();
        if let (Some(state), FillOutcome::DigestMismatch) = (&partial, outcome) {
            state.discard().await;
        }
        let detail = Some(error.to_string());
        FillEnd { outcome, state: FillState::Failed(error), detail }
    }

    /// Remembers that a source does not have the blob.
    fn remember(&self, source: &SourceUrl, error: &SourceError) {
        match error {
            SourceError::Origin(error) => self.negative.add_error(source, error),
            SourceError::WrongWhole(reason) | SourceError::WrongBlock(reason) => {
                self.negative.add_wrong_bytes(source, reason);
            }
            // Unless the catalog has the size, the length of an earlier source may be the wrong one.
            SourceError::WrongLength(reason) if self.fill.asset().size.is_some() => {
                self.negative.add_wrong_bytes(source, reason);
            }
            _ => {}
        }
    }

    /// Tries one source; a second time if the object changed, or if bytes of another origin may be what is wrong.
    async fn try_source(
        &self,
        source: &SourceUrl,
        block_list: Option<&Arc<BlockList>>,
        partial: &mut Option<PartialState>,
    ) -> Result<Entry, SourceError> {
        let asset = &self.fill.asset().name;
        let error = match self.attempt(source, block_list, partial).await {
            Ok(entry) => return Ok(entry),
            Err(error) => error,
        };
        let was_mixed = partial.as_ref().is_some_and(|state| !state.single_source);
        self.discard_spoiled(&error, source, partial.as_mut()).await?;
        match &error {
            SourceError::Changed => warn!(%asset, %source, "object changed while it was read: restarting"),
            SourceError::WrongWhole(reason) if was_mixed => {
                warn!(%asset, %source, reason, "wrong digest: restarting without reused bytes");
            }
            _ => return Err(error),
        }
        let result = self.attempt(source, block_list, partial).await;
        if let Err(error) = &result {
            self.discard_spoiled(error, source, partial.as_mut()).await?;
        }
        result
    }

    /// After a failed attempt: waits until nothing uses the partial blob, and discards the bytes that `error` makes
    /// worthless.
    async fn discard_spoiled(
        &self,
        error: &SourceError,
        source: &SourceUrl,
        partial: Option<&mut PartialState>,
    ) -> Result<(), CacheError> {
        self.fill.wait_idle().await;
        match (partial, error.spoiled(source)) {
            (Some(state), Some(Spoiled { verified_too, fault })) => state.reset(&self.fill, verified_too, fault).await,
            _ => Ok(()),
        }
    }

    /// Fills from one source, once.
    async fn attempt(
        &self,
        source: &SourceUrl,
        block_list: Option<&Arc<BlockList>>,
        partial: &mut Option<PartialState>,
    ) -> Result<Entry, SourceError> {
        let known_size = self.fill.asset().size.or(block_list.map(|list| list.size()));
        if let (None, Some(size)) = (&partial, known_size) {
            *partial = Some(self.open_partial(size, block_list).await?);
        }
        self.fill.progress().release_all();
        let claim = match partial {
            Some(_) => self.fill.progress().claim(),
            // The reply to the first part reports the size.
            None => Some(ByteRange::new(0, self.settings.part_size)),
        };
        let range = match (partial.as_ref(), claim) {
            (_, Some(range)) => range,
            // All bytes were written by an earlier run: only the verification is left.
            (Some(state), None) => return self.complete(state, source, None, None).await,
            (None, None) => return Err(SourceError::Changed),
        };
        let read = ResumingRead::open(&self.origins, source, range, None, self.settings.retries).await?;
        check_length(&read, known_size)?;
        self.discard_other_size(partial, read.total()).await?;
        let state = match partial {
            Some(state) => state,
            None => partial.insert(self.open_partial(read.total(), block_list).await?),
        };
        self.check_note(state, note(source, read.validator())).await?;
        let validator = read.validator().cloned();
        self.complete(state, source, validator, self.missing_of(read)).await
    }

    /// Deletes an empty partial blob of another size than `total`. An earlier source reported that size; it is only kept
    /// together with bytes of that source.
    async fn discard_other_size(&self, partial: &mut Option<PartialState>, total: u64) -> Result<(), SourceError> {
        let Some(earlier) = partial.as_ref().filter(|state| state.partial.size() != total) else { return Ok(()) };
        if self.fill.progress().written() > 0 {
            let size = earlier.partial.size();
            return Err(SourceError::WrongLength(format!("it has {total} bytes, an earlier source has {size}")));
        }
        earlier.discard().await;
        *partial = None;
        Ok(())
    }

    /// Reserves space for the blob, or opens what an earlier run wrote, and starts the progress.
    async fn open_partial(&self, size: u64, block_list: Option<&Arc<BlockList>>) -> Result<PartialState, SourceError> {
        let (digest, part_size) = (self.fill.asset().digest, self.settings.part_size);
        let chunk_size = part_size.min(MAX_CHUNK);
        let mut retries = 0;
        let partial = loop {
            let cache = self.cache.clone();
            match blocking(move || cache.partial(&digest, size, chunk_size)).await {
                // A reader of an earlier fill is in the middle of its last read.
                Err(CacheError::Busy(_)) if retries < BUSY_RETRIES => tokio::time::sleep(BUSY_INTERVAL).await,
                partial => break Arc::new(partial?),
            }
            retries += 1;
        };
        self.fill.start(Arc::clone(&partial), chunk_size, part_size, block_list.cloned());
        let reused = self.fill.progress().written();
        Ok(PartialState { partial, reused, single_source: reused == 0 })
    }

    /// The part of an open read that is missing. `None` if nothing of it is: an earlier run may have written what was
    /// requested to learn the size.
    fn missing_of(&self, mut read: ResumingRead) -> Option<ResumingRead> {
        if !read.ignored_range() {
            let rest = read.rest();
            let gap = *self.fill.progress().missing(rest).first().filter(|gap| gap.start == rest.start)?;
            read.narrow_to(gap);
        }
        Some(read)
    }

    /// Discards reused bytes if the object has changed since they were written, and stores the note of the object.
    async fn check_note(&self, state: &mut PartialState, note: String) -> Result<(), SourceError> {
        if state.partial.note().is_some_and(|stored| !same_object(&stored, &note)) {
            let reason = "the object changed since an earlier run".to_owned();
            let fault = ReadError::Unavailable { reason, retry_after: RETRY_AFTER };
            state.reset(&self.fill, false, fault).await?;
        }
        let partial = Arc::clone(&state.partial);
        blocking(move || partial.set_note(&note)).await?;
        Ok(())
    }

    /// Fetches what is missing, then verifies the whole and admits it to the cache.
    async fn complete(
        &self,
        state: &PartialState,
        source: &SourceUrl,
        validator: Option<Validator>,
        first: Option<ResumingRead>,
    ) -> Result<Entry, SourceError> {
        let verifier = self.fetch_all(state, source, validator, first).await?;
        self.admit(state, verifier).await
    }

    /// Fetches what is missing, and hashes it as it is written; with a block list, also verifies each block.
    async fn fetch_all(
        &self,
        state: &PartialState,
        source: &SourceUrl,
        validator: Option<Validator>,
        first: Option<ResumingRead>,
    ) -> Result<Verifier, SourceError> {
        let mut connections = self.settings.connections.max(1);
        if let Some(first) = &first {
            let mut progress = self.fill.progress();
            progress.release_all();
            progress.claim_range(first.rest());
            if first.ignored_range() {
                connections = 1;
            }
        }
        let fetcher = Arc::new(PartFetcher {
            fill: Arc::clone(&self.fill),
            partial: Arc::clone(&state.partial),
            origins: self.origins.clone(),
            source: source.clone(),
            validator,
            retries: self.settings.retries,
        });
        let mut fetchers = JoinSet::new();
        fetchers.spawn(self.fill.track(span::carry(Arc::clone(&fetcher).run(first))));
        for _ in 1..connections {
            fetchers.spawn(self.fill.track(span::carry(Arc::clone(&fetcher).run(None))));
        }
        let hashing = hashing::hash_whole(Arc::clone(&self.fill), Arc::clone(&state.partial));
        let hashing = hashing.map(|result| result.map_err(SourceError::Cache));
        let blocks = hashing::verify_blocks(&self.fill, &state.partial, source);
        let ((), (), verifier) = tokio::try_join!(Self::join_all(fetchers), blocks, hashing)?;
        Ok(verifier)
    }

    /// Waits for all part fetchers. Fails with the first error, and then cancels the others.
    async fn join_all(mut fetchers: JoinSet<Result<(), SourceError>>) -> Result<(), SourceError> {
        while let Some(joined) = fetchers.join_next().await {
            if let Some(result) = task::joined(joined)? {
                result?;
            }
        }
        Ok(())
    }

    /// Verifies the hash of the whole, and turns the partial blob into a blob of the cache.
    ///
    /// If the disk fails to admit it, it may have lost bytes that were hashed, so the proof is not used again.
    async fn admit(&self, state: &PartialState, verifier: Verifier) -> Result<Entry, SourceError> {
        let expected = self.fill.asset().digest;
        let proof = verifier.verify(&expected).map_err(|found| {
            SourceError::WrongWhole(format!("its bytes have the SHA-256 {found}, the catalog has {expected}"))
        })?;
        let partial = Arc::clone(&state.partial);
        Ok(self.fill.run_blocking(move || partial.admit(proof)).await?)
    }
}

/// Fails if the object's length is not `expected`.
fn check_length(read: &ResumingRead, expected: Option<u64>) -> Result<(), SourceError> {
    let total = read.total();
    match expected.filter(|expected| *expected != total) {
        Some(expected) => Err(SourceError::WrongLength(format!("it has {total} bytes, expected {expected}"))),
        None => Ok(()),
    }
}

/// The end of a fill that the cache cannot store: its readers bypass the cache.
async fn not_stored(error: &CacheError, partial: Option<&PartialState>) -> FillEnd {
    if let Some(state) = partial {
        state.discard().await;
    }
    let reason = error_chain(error).to_string();
    FillEnd { outcome: FillOutcome::NoSpace, state: FillState::NotStored(reason.clone()), detail: Some(reason) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn fetcher_panic_is_not_origin_failure() {
        let mut fetchers = JoinSet::new();
        fetchers.spawn(std::future::pending());
        fetchers.spawn(async { std::panic::resume_unwind(Box::new("a bug")) });
        let error = FillTask::join_all(fetchers).await.unwrap_err();
        assert!(matches!(error, SourceError::Panicked(_)));
    }
}
