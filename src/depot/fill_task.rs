//! The task of one fill: tries the sources in order, fetches parts over several connections, hashes what is written, and
//! admits the verified blob to the cache.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures_core::future::BoxFuture;
use futures_util::FutureExt as _;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::claim::Claim;
use super::fill::Fill;
use super::fill_guard::{FillEnd, FillGuard};
use super::fill_history::FillHistory;
use super::fill_state::FillState;
use super::hashing;
use super::ladder::{self, Next, Rung};
use super::negative_cache::NegativeEntries;
use super::not_stored::{Leftover, NotStored, Remains};
use super::outcome::FillOutcome;
use super::part_fetcher::PartFetcher;
use super::partial_state::PartialState;
use super::resuming_read::ResumingRead;
use super::settings::FillSettings;
use super::source_access::SourceAccess;
use super::source_error::{SourceError, Spoiled};
use super::source_failures::SourceFailures;
use crate::asset::{BlockList, ByteRange, Digest, SourceUrl, VerifiedDigest, Verifier};
use crate::cache::{Cache, CacheError, Entry};
use crate::error_chain::error_chain;
use crate::origin::Origins;
use crate::span;
use crate::task::{self, blocking};

/// How often, and at which interval, to retry opening a partial blob that a reader of an earlier fill still uses.
const BUSY_RETRIES: u32 = 20;
const BUSY_INTERVAL: Duration = Duration::from_millis(50);

/// The largest chunk that a partial blob records, in bytes. However large the requested parts are, an interrupted fill loses
/// at most one chunk per connection, and what was not yet on disk. Each chunk costs about 50 bytes of log.
const MAX_CHUNK: u64 = 256 << 10;

/// How many bytes longer than the known size a stream may say to be: lengths that are wrong by one, or by a line end, occur.
/// A larger difference is another object, which is not read to its end.
const LENGTH_SLACK: u64 = 2;

/// The largest body of unknown length, in bytes, that is read only once: kernels and files of installers fit.
const MEASURED_IN_MEMORY: u64 = 32 << 20;

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
    /// One permit for each large blob of the cache that is hashed.
    pub(super) hash_permits: Arc<Semaphore>,
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
        let end = match self.fill.stop().run_until_cancelled(span.around(work)).await {
            Some(end) => end,
            None if self.stop.is_cancelled() => FillEnd::stopped(),
            None => FillEnd::cancelled(),
        };
        self.fill.wait_idle().await;
        guard.set_end(end, partial.map_or(stored, |state| state.reused));
    }

    /// Tries the sources in order until one provides the blob.
    async fn try_sources(&self, block_list: Option<&Arc<BlockList>>, partial: &mut Option<PartialState>) -> FillEnd {
        let asset = self.fill.asset();
        let size = asset.size.or(block_list.map(|list| list.size()));
        let access = |source| SourceAccess::new(&asset.name, &self.origins, source, size, self.settings.retries);
        let mut queue = VecDeque::new();
        let mut failures = SourceFailures::default();
        for source in &self.sources {
            match self.negative.get(source) {
                Some(known) => failures.add_known(source, known),
                None => queue.push_back(Arc::new(access(source))),
            }
        }
        while let Some(access) = queue.pop_front() {
            let error = match self.attempt(&access, block_list, partial).await {
                Ok(entry) => {
                    return FillEnd { outcome: FillOutcome::Complete, state: FillState::Complete(entry), detail: None };
                }
                Err(error) => error,
            };
            self.fill.wait_idle().await;
            let next = match error {
                SourceError::Panicked(error) => return FillEnd::panicked(error),
                SourceError::Cache(error) => Err(error),
                error => self.after_failure(&access, error, partial.as_mut(), &mut failures).await,
            };
            match next {
                Ok(Next::Lower(_)) => queue.push_front(access),
                // A source that has not been tried yet is more likely to be right.
                Ok(Next::Afresh) => queue.push_back(access),
                Ok(Next::GiveUp) => {}
                Err(error) => return self.not_stored(&error, partial.as_ref()).await,
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
            SourceError::NoLength => self.negative.add_wrong_bytes(source, &error.to_string()),
            // Unless the catalog has the size, the length of an earlier source may be the wrong one.
            SourceError::WrongLength(reason) if self.fill.asset().size.is_some() => {
                self.negative.add_wrong_bytes(source, reason);
            }
            SourceError::WrongLength(_) | SourceError::Cache(_) | SourceError::Panicked(_) => {}
        }
    }

    /// Decides what to do with a source after a failed attempt, and discards the bytes that `error` makes worthless. Nothing
    /// may be using the partial blob.
    async fn after_failure(
        &self,
        access: &SourceAccess,
        error: SourceError,
        partial: Option<&mut PartialState>,
        failures: &mut SourceFailures,
    ) -> Result<Next, CacheError> {
        let (asset, source) = (&self.fill.asset().name, access.source());
        let mut next = ladder::next(access.rung(), error.seen(access, partial.as_deref()));
        if let (Some(state), Some(Spoiled { verified_too, fault })) = (partial, error.spoiled(source)) {
            state.reset(&self.fill, verified_too, fault).await?;
        }
        match next {
            Next::Lower(rung) => access.lower_to(rung, &error),
            Next::Afresh if access.restart() => {
                warn!(%asset, %source, reason = %error, "wrong bytes of several replies: discarded");
                access.lower_to(Rung::Stream, &error);
            }
            Next::Afresh | Next::GiveUp => {
                next = Next::GiveUp;
                self.remember(source, &error);
                failures.add(access, error, asset);
            }
        }
        Ok(next)
    }

    /// Fills from one source, once, on its rung of the ladder.
    async fn attempt(
        &self,
        access: &Arc<SourceAccess>,
        block_list: Option<&Arc<BlockList>>,
        partial: &mut Option<PartialState>,
    ) -> Result<Entry, SourceError> {
        let known_size = match self.fill.asset().size.or(block_list.map(|list| list.size())) {
            None if access.rung() == Rung::Measured => return self.measure(access, block_list, partial).await,
            known => known,
        };
        if let (None, Some(size)) = (&partial, known_size) {
            *partial = Some(self.open_partial(size, block_list).await?);
        }
        let range = match partial {
            // The reply to the first part reports the size.
            None => ByteRange::new(0, self.settings.part_size),
            Some(state) => match Claim::next(&self.fill) {
                Some(claim) => claim.range(),
                // All bytes were written by an earlier run: only the verification is left.
                None => {
                    state.single_stream = false;
                    return self.complete(state, access, None).await;
                }
            },
        };
        let mut read = ResumingRead::open(access, range, true).await?;
        let size = match self.size_from(&read, known_size) {
            Ok(size) => size,
            Err(error) => {
                // Its first bytes may show that it is something else, such as a login page.
                let _ = read.chunk().await;
                return Err(error);
            }
        };
        self.discard_other_size(partial, access, size).await?;
        let state = match partial {
            Some(state) => state,
            None => partial.insert(self.open_partial(size, block_list).await?),
        };
        if read.is_stream() {
            read.widen_to(size);
        }
        read.set_alone(read.is_stream());
        let is_whole = read.rest() == ByteRange::whole(size);
        state.single_stream = is_whole && self.fill.progress().written() == 0;
        let (noted, note) = (Arc::clone(&state.partial), access.note());
        blocking(move || noted.set_note(&note)).await?;
        self.complete(state, access, self.missing_of(read)).await
    }

    /// The size of the object that `read` has begun. Fails if it is not `known_size`.
    fn size_from(&self, read: &ResumingRead, known_size: Option<u64>) -> Result<u64, SourceError> {
        match (read.total(), known_size) {
            (Some(0), None) if self.fill.asset().digest != Digest::of(b"") => {
                Err(SourceError::WrongLength("it has no bytes".to_owned()))
            }
            (Some(total), Some(known)) if total != known => {
                // The stream is cut at the known size.
                let is_slip = read.is_stream() && total > known && total - known <= LENGTH_SLACK;
                let wrong = || SourceError::WrongLength(format!("it has {total} bytes, expected {known}"));
                is_slip.then_some(known).ok_or_else(wrong)
            }
            (total, known) => known.or(total).ok_or(SourceError::NoLength),
        }
    }

    /// Reads the whole to learn its size, which is its size indeed if it has the digest, and fills with that. A small body is
    /// kept in memory; a larger one is read twice.
    async fn measure(
        &self,
        access: &Arc<SourceAccess>,
        block_list: Option<&Arc<BlockList>>,
        partial: &mut Option<PartialState>,
    ) -> Result<Entry, SourceError> {
        let mut read = ResumingRead::open(access, ByteRange::whole(u64::MAX), true).await?;
        let mut verifier = Verifier::new();
        let mut kept = Vec::new();
        while let Some((_, bytes)) = read.chunk().await? {
            self.fill.add_received(bytes.len() as u64);
            let hashed = bytes.clone();
            verifier = self
                .fill
                .run_blocking(move || {
                    verifier.update(&hashed);
                    verifier
                })
                .await;
            if verifier.length() <= MEASURED_IN_MEMORY {
                kept.push(bytes);
            }
        }
        let size = verifier.length();
        self.check_digest(verifier)?;
        let state = partial.insert(self.open_partial(size, block_list).await?);
        let rest = if size <= MEASURED_IN_MEMORY {
            Arc::clone(&self.fill).write(Arc::clone(&state.partial), 0, kept).await?;
            None
        } else {
            warn!(
                asset = %self.fill.asset().name, source = %access.source(), size,
                "length not sent: reading twice; set the asset's size in the catalog"
            );
            drop(kept);
            let mut read = ResumingRead::open(access, ByteRange::whole(size), true).await?;
            read.widen_to(size);
            Some(read)
        };
        state.single_stream = state.reused == 0;
        self.complete(state, access, rest).await
    }

    /// Deletes a partial blob of another size than `total`, which `access` reports. Bytes that an earlier source wrote under
    /// its size are kept, unless this is what a plain GET reports.
    async fn discard_other_size(
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
        Ok(PartialState { partial, reused, single_stream: false })
    }

    /// The part of an open read that is missing. `None` if nothing of it is: an earlier run may have written what was
    /// requested to learn the size.
    fn missing_of(&self, mut read: ResumingRead) -> Option<ResumingRead> {
        if !read.is_stream() {
            let rest = read.rest();
            let gap = *self.fill.progress().missing(rest).first().filter(|gap| gap.start == rest.start)?;
            read.narrow_to(gap);
        }
        Some(read)
    }

    /// Fetches what is missing, then verifies the whole and admits it to the cache.
    async fn complete(
        &self,
        state: &PartialState,
        access: &Arc<SourceAccess>,
        first: Option<ResumingRead>,
    ) -> Result<Entry, SourceError> {
        let verifier = self.fetch_all(state, access, first).await?;
        self.admit(state, verifier).await
    }

    /// Fetches what is missing, and hashes it as it is written; with a block list, also verifies each block.
    async fn fetch_all(
        &self,
        state: &PartialState,
        access: &Arc<SourceAccess>,
        first: Option<ResumingRead>,
    ) -> Result<Verifier, SourceError> {
        let is_stream = access.is_stream() || first.as_ref().is_some_and(ResumingRead::is_stream);
        let connections = if is_stream { 1 } else { self.settings.connections.max(1) };
        let fetcher = Arc::new(PartFetcher {
            fill: Arc::clone(&self.fill),
            partial: Arc::clone(&state.partial),
            access: Arc::clone(access),
        });
        let first = first.map(|read| (Claim::of(&self.fill, read.rest()), read));
        let mut fetchers = JoinSet::new();
        fetchers.spawn(self.fill.track(span::carry(Arc::clone(&fetcher).run(first))));
        for _ in 1..connections {
            fetchers.spawn(self.fill.track(span::carry(Arc::clone(&fetcher).run(None))));
        }
        let hashing = hashing::hash_whole(Arc::clone(&self.fill), Arc::clone(&state.partial));
        let hashing = hashing.map(|result| result.map_err(SourceError::Cache));
        let blocks = hashing::verify_blocks(&self.fill, &state.partial, access.source());
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
                blocking(move || match is_complete.then(|| partial.open_not_kept()) {
                    Some(Ok(entry)) => Leftover::Whole(entry),
                    _ => {
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

    /// Verifies the hash of the whole, and turns the partial blob into a blob of the cache.
    ///
    /// If the disk fails to admit it, it may have lost bytes that were hashed, so the proof is not used again.
    async fn admit(&self, state: &PartialState, verifier: Verifier) -> Result<Entry, SourceError> {
        let proof = self.check_digest(verifier)?;
        let partial = Arc::clone(&state.partial);
        Ok(self.fill.run_blocking(move || partial.admit(proof)).await?)
    }

    /// Verifies the hash of the whole.
    fn check_digest(&self, verifier: Verifier) -> Result<VerifiedDigest, SourceError> {
        let expected = self.fill.asset().digest;
        verifier.verify(&expected).map_err(|found| {
            SourceError::WrongWhole(format!("its bytes have the SHA-256 {found}, the catalog has {expected}"))
        })
    }
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
