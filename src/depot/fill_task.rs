//! The task of one fill: tries the sources in order, fetches parts over several connections, hashes what is written, and
//! admits the verified blob to the cache.

use std::sync::Arc;
use std::time::Duration;

use futures_core::future::BoxFuture;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::collections::Collections;
use super::fill::Fill;
use super::fill_guard::{FillEnd, FillGuard};
use super::fill_history::FillHistory;
use super::fill_state::FillState;
use super::negative_cache::NegativeEntries;
use super::not_stored::{Leftover, NotStored, Remains};
use super::outcome::FillOutcome;
use super::partial_state::PartialState;
use super::settings::FillSettings;
use super::source_access::SourceAccess;
use super::source_error::{AttemptError, SourceError, Spoiled};
use super::source_queue::SourceQueue;
use crate::asset::{BlockList, SourceUrl};
use crate::cache::{Cache, CacheError};
use crate::error_chain::error_chain;
use crate::origin::Origins;
use crate::task::blocking;

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
    /// The sources that are known not to have the blob.
    pub(super) negative: NegativeEntries,
    pub(super) cache: Cache,
    pub(super) settings: FillSettings,
    /// One permit for each running fill.
    pub(super) permits: Arc<Semaphore>,
    /// One permit for each large blob of the cache that is hashed.
    pub(super) hash_permits: Arc<Semaphore>,
    /// Cancelled when the depot closes.
    pub(super) stop: CancellationToken,
    pub(super) history: Arc<FillHistory>,
    pub(super) collections: Arc<Collections>,
    /// A cancelled fill of the same blob that has not ended yet: it still uses the partial blob.
    pub(super) previous: Option<Arc<Fill>>,
}

impl FillTask {
    /// Runs the fill to its end. `block_list` loads the asset's block list; it returns `None` if there is none.
    pub(super) async fn run(self, block_list: BoxFuture<'static, Option<Arc<BlockList>>>) {
        let mut guard = FillGuard::new(Arc::clone(&self.fill), Arc::clone(&self.history));
        let span = guard.span();
        let (mut partial, mut stored) = (None, 0);
        let work = async {
            if let Some(previous) = &self.previous {
                previous.wait_ended().await;
            }
            // Without a permit and a block list: what is on the disk must not wait for an origin.
            if let Some((size, end)) = self.verify_stored().await {
                stored = size;
                return end;
            }
            let block_list = block_list.await;
            // The semaphore is never closed.
            let _permit = self.permits.acquire().await;
            self.fill.set_running();
            self.try_sources(block_list.as_ref(), &mut partial).await
        };
        let end = match self.fill.stop().run_until_cancelled(Box::pin(span.around(work))).await {
            Some(end) => end,
            None if self.stop.is_cancelled() => FillEnd::stopped(),
            None => FillEnd::cancelled(),
        };
        self.fill.wait_idle().await;
        if end.outcome == FillOutcome::Complete {
            let asset = self.fill.asset();
            self.collections.note_seen(&asset.name, &asset.digest);
        }
        guard.set_end(end, partial.map_or(stored, |state| state.reused));
    }

    /// Tries the sources in order until one provides the blob, or several together.
    async fn try_sources(&self, block_list: Option<&Arc<BlockList>>, partial: &mut Option<PartialState>) -> FillEnd {
        let asset = self.fill.asset();
        let size = asset.size.or(block_list.map(|list| list.size()));
        let access = |source| SourceAccess::new(&asset.name, &self.origins, source, size, self.settings.retries);
        let mut queue = SourceQueue::new(asset, self.negative.clone(), self.sources.iter().map(access));
        while let Some(mut access) = queue.next() {
            let attempt = self.attempt(&mut access, &mut queue, block_list, partial).await;
            self.fill.wait_idle().await;
            let error = match attempt {
                Ok(entry) => {
                    return FillEnd { outcome: FillOutcome::Complete, state: FillState::Complete(entry), detail: None };
                }
                Err(AttemptError::Failed(SourceError::Panicked(error))) => return FillEnd::panicked(error),
                Err(AttemptError::Failed(SourceError::Cache(error))) => {
                    return self.not_stored(&error, partial.as_ref()).await;
                }
                Err(AttemptError::Failed(error)) => Some(error),
                Err(AttemptError::Settled) => None,
            };
            let Some(error) = error else { continue };
            let spoiled = error.spoiled(access.source());
            let single_stream = partial.as_ref().is_none_or(|state| state.single_stream);
            if let (Some(state), Some(Spoiled { verified_too, fault })) = (partial.as_mut(), spoiled)
                && let Err(error) = state.reset(&self.fill, verified_too, fault).await
            {
                return self.not_stored(&error, partial.as_ref()).await;
            }
            queue.settle(access, error, single_stream);
        }
        let (outcome, error) = queue.into_outcome();
        if let (Some(state), FillOutcome::DigestMismatch) = (&partial, outcome) {
            state.discard().await;
        }
        let detail = Some(error.to_string());
        FillEnd { outcome, state: FillState::Failed(error), detail }
    }

    /// Deletes a partial blob of another size than `total`, which `access` reports. Bytes that an earlier source wrote under
    /// its size are kept, unless this is what a plain GET reports.
    pub(super) async fn discard_other_size(
        &self,
        partial: &mut Option<PartialState>,
        access: &SourceAccess,
        total: u64,
    ) -> Result<(), SourceError> {
        let Some(earlier) = partial.as_ref().filter(|state| state.partial.size() != total) else { return Ok(()) };
        if self.fill.progress().written() > 0 && !access.is_stream() {
            let size = earlier.partial.size();
            return Err(SourceError::WrongLength(format!("it has {total} bytes, an earlier source has {size}")));
        }
        earlier.discard().await;
        *partial = None;
        Ok(())
    }

    /// Reserves space for the blob, or opens what an earlier run wrote, and starts the progress.
    pub(super) async fn open_partial(
        &self,
        size: u64,
        block_list: Option<&Arc<BlockList>>,
    ) -> Result<PartialState, SourceError> {
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
        Ok(PartialState { partial, reused, single_stream: false })
    }

    /// The end of a fill that the cache cannot store. If every byte was written before the disk failed, the readers get all
    /// of them; else they bypass the cache.
    async fn not_stored(&self, error: &CacheError, partial: Option<&PartialState>) -> FillEnd {
        let reason = error_chain(error).to_string();
        let leftover = match partial.map(|state| Arc::clone(&state.partial)) {
            None => Leftover::Nothing,
            Some(partial) => {
                let (prefix, is_complete) = {
                    let progress = self.fill.progress();
                    (progress.hashed().clone(), progress.is_complete())
                };
                blocking(move || {
                    if let Some(Ok(entry)) = is_complete.then(|| partial.open_not_kept()) {
                        Leftover::Whole(entry)
                    } else {
                        partial.discard();
                        Leftover::Part(Arc::new(Remains { partial, prefix }))
                    }
                })
                .await
            }
        };
        let state = FillState::NotStored(NotStored { reason: reason.clone(), leftover });
        FillEnd { outcome: FillOutcome::NoSpace, state, detail: Some(reason) }
    }
}
