//! One attempt of a fill: reads a source on its rung of the ladder, with the next source beside it if there is no progress.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use tracing::warn;

use super::claim::Claim;
use super::fill_task::FillTask;
use super::hashing;
use super::ladder::Rung;
use super::lanes::Lanes;
use super::pace::Pace;
use super::partial_state::PartialState;
use super::resuming_read::{LENGTH_SLACK, ResumingRead};
use super::source_access::SourceAccess;
use super::source_error::{AttemptError, SourceError};
use super::source_queue::SourceQueue;
use crate::asset::{BlockList, ByteRange, Digest, VerifiedDigest, Verifier};
use crate::cache::Entry;
use crate::task::blocking;

/// The largest body of unknown length, in bytes, that is read only once: kernels and files of installers fit.
const MEASURED_IN_MEMORY: u64 = 32 << 20;

impl FillTask {
    /// Fills from the source of `access`, once, on its rung of the ladder. If it makes no progress, sources of `queue` are
    /// read beside it; `access` is then the one that is to blame for an error.
    pub(super) async fn attempt(
        &self,
        access: &mut Arc<SourceAccess>,
        queue: &mut SourceQueue,
        block_list: Option<&Arc<BlockList>>,
        partial: &mut Option<PartialState>,
    ) -> Result<Entry, AttemptError> {
        let mut known_size = self.fill.asset().size.or(block_list.map(|list| list.size()));
        if let (None, Some(size)) = (&partial, known_size) {
            *partial = Some(self.open_partial(size, block_list).await?);
        }
        if known_size.is_none() && access.rung() == Rung::Measured {
            let (size, bytes) = self.measure(access, queue).await?;
            known_size = Some(size);
            self.discard_other_size(partial, access, size).await?;
            let state = match partial {
                Some(state) => state,
                None => partial.insert(self.open_partial(size, block_list).await?),
            };
            if let Some(bytes) = bytes {
                Arc::clone(&self.fill).write(Arc::clone(&state.partial), 0, bytes).await?;
                state.single_stream = state.reused == 0;
                return self.complete(state, access, queue, None).await;
            }
        }
        let range = match partial {
            // The reply to the first part reports the size.
            None => ByteRange::new(0, self.settings.part_size),
            Some(state) => {
                let Some(claim) = Claim::next(&self.fill, 0) else {
                    // All bytes were written by an earlier run: only the verification is left.
                    state.single_stream = false;
                    return self.complete(state, access, queue, None).await;
                };
                claim.range()
            }
        };
        let mut read = self.open_first(access, queue, range).await?;
        let size = match self.size_from(&read, known_size) {
            Ok(size) => size,
            Err(error) => {
                // Its first bytes may show that it is something else, such as a login page.
                let _ = read.chunk().await;
                return Err(error.into());
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
        self.complete(state, access, queue, self.missing_of(read)).await
    }

    /// Opens the first read of the source of `access`. If it does not answer within the stall timeout, the next source is
    /// asked too; `access` becomes the one that answers first. The others wait for their turn.
    async fn open_first(
        &self,
        access: &mut Arc<SourceAccess>,
        queue: &mut SourceQueue,
        range: ByteRange,
    ) -> Result<ResumingRead, AttemptError> {
        let open = |access: Arc<SourceAccess>| async move {
            let opened = ResumingRead::open(&access, range, true).await;
            (access, opened)
        };
        let mut asked = vec![Arc::clone(access)];
        let mut opening = FuturesUnordered::new();
        opening.push(open(Arc::clone(access)));
        loop {
            tokio::select! {
                Some((source, opened)) = opening.next() => {
                    asked.retain(|other| !Arc::ptr_eq(other, &source));
                    match opened {
                        Ok(read) => {
                            *access = source;
                            asked.into_iter().rev().for_each(|other| queue.put_back(other));
                            return Ok(read);
                        }
                        Err(error) => queue.settle(source, error.into(), false),
                    }
                    if opening.is_empty() {
                        return Err(AttemptError::Settled);
                    }
                }
                () = tokio::time::sleep(self.origins.stall_timeout()) => {
                    if let Some(next) = queue.join(access) {
                        asked.push(Arc::clone(&next));
                        opening.push(open(next));
                    }
                }
            }
        }
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

    /// Reads the whole to learn its size, which is its size indeed if it has the digest. Returns the bytes too, unless they
    /// are too many to keep in memory: then the source is read twice. If there is no progress, the next source is tried.
    async fn measure(
        &self,
        access: &Arc<SourceAccess>,
        queue: &mut SourceQueue,
    ) -> Result<(u64, Option<Vec<Bytes>>), AttemptError> {
        let (stall, mut ticked) = (self.origins.stall_timeout(), Instant::now());
        let (mut pace, whole) = (Pace::default(), ByteRange::whole(u64::MAX));
        let (id, _) = pace.begin(0, whole, ticked);
        let mut read = ResumingRead::open(access, ByteRange::whole(u64::MAX), true).await?;
        let mut verifier = Verifier::new();
        let mut kept = Some(Vec::new());
        while let Some((_, bytes)) = read.chunk().await? {
            self.fill.add_received(bytes.len() as u64);
            let now = Instant::now();
            pace.advance(id, bytes.len() as u64, whole);
            if now.duration_since(ticked) >= Pace::interval(stall) {
                ticked = now;
                // Once: with slow sources alone, the first one that ends is as good as any.
                if pace.is_stalled(now, stall)
                    && access.give_way()
                    && let Some(next) = queue.join(access)
                {
                    queue.put_back(Arc::clone(access));
                    queue.put_back(next);
                    return Err(AttemptError::Settled);
                }
            }
            if verifier.length() + bytes.len() as u64 > MEASURED_IN_MEMORY {
                kept = None;
            }
            if let Some(kept) = &mut kept {
                kept.push(bytes.clone());
            }
            let hashing = move || {
                verifier.update(&bytes);
                verifier
            };
            verifier = self.fill.run_blocking(hashing).await;
        }
        let size = verifier.length();
        self.check_digest(verifier)?;
        if kept.is_none() {
            let (asset, source) = (&self.fill.asset().name, access.source());
            warn!(%asset, %source, size, "length not sent: reading twice; set the asset's size in the catalog");
        }
        Ok((size, kept))
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
        state: &mut PartialState,
        access: &mut Arc<SourceAccess>,
        queue: &mut SourceQueue,
        first: Option<ResumingRead>,
    ) -> Result<Entry, AttemptError> {
        let verifier = self.fetch_all(state, access, queue, first).await?;
        Ok(self.admit(state, verifier).await?)
    }

    /// Fetches what is missing, and hashes it as it is written; with a block list, also verifies each block.
    async fn fetch_all(
        &self,
        state: &mut PartialState,
        access: &mut Arc<SourceAccess>,
        queue: &mut SourceQueue,
        first: Option<ResumingRead>,
    ) -> Result<Verifier, AttemptError> {
        let (connections, stall) = (self.settings.connections, self.origins.stall_timeout());
        let first = (Arc::clone(access), first);
        let mut lanes = Lanes::new(&self.fill, &state.partial, connections, stall, first);
        let hashing = hashing::hash_whole(Arc::clone(&self.fill), Arc::clone(&state.partial));
        let hashing = hashing.map(|result| result.map_err(AttemptError::from));
        let blocks = hashing::verify_blocks(&self.fill, &state.partial, access.source());
        let blocks = blocks.map(|result| result.map_err(AttemptError::from));
        let result = tokio::try_join!(lanes.run(queue), blocks, hashing);
        if let Some(active) = lanes.release(queue) {
            *access = active;
        }
        state.single_stream &= !self.fill.pace().was_doubled();
        result.map(|((), (), verifier)| verifier)
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
