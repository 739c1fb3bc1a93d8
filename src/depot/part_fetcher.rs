//! Part fetchers: the connections that read one source's bytes into a fill.

use std::sync::Arc;

use bytes::Bytes;
use metrics::counter;
use tracing::debug;

use super::claim::Claim;
use super::fill::Fill;
use super::pace::SourceIndex;
use super::resuming_read::ResumingRead;
use super::source_access::SourceAccess;
use super::source_error::SourceError;
use crate::asset::ByteRange;
use crate::cache::{CacheError, Partial};

/// Bytes per write to the disk: few system calls, and readers wait for little.
const BATCH_SIZE: u64 = 1 << 20;

/// Fetches parts of one source into a fill. All connections of the source share one value.
pub(super) struct PartFetcher {
    pub(super) fill: Arc<Fill>,
    pub(super) partial: Arc<Partial>,
    pub(super) access: Arc<SourceAccess>,
    /// The number of the source among those that are read at the same time.
    pub(super) index: SourceIndex,
}

/// Why the bytes of a claim could not be fetched.
struct Failed {
    error: SourceError,
    /// Whether another connection fetches the same bytes.
    is_doubled: bool,
}

impl PartFetcher {
    /// Fetches part after part until none is missing. Starts with `first`, a read that is already open.
    pub(super) async fn run(self: Arc<Self>, first: Option<(Claim, ResumingRead)>) -> Result<(), SourceError> {
        let mut changes = self.fill.subscribe();
        let (mut next, mut opened) = first.map_or((None, None), |(claim, read)| (Some(claim), Some(read)));
        let mut is_forgiven = false;
        loop {
            if self.fill.progress().is_complete() {
                return Ok(());
            }
            let Some(claim) = next.take().or_else(|| self.next_claim()) else {
                // Other connections fetch the rest. A bad block can be missing again.
                let _ = changes.changed().await;
                continue;
            };
            match Box::pin(self.fetch(claim, opened.take())).await {
                Ok(()) => is_forgiven = false,
                // The read that doubles it may succeed. If the next one fails too, the source has failed.
                Err(failed) if failed.is_doubled && !is_forgiven => {
                    debug!(asset = %self.fill.asset().name, error = %failed.error, "read failed that another one doubles");
                    is_forgiven = true;
                }
                Err(failed) => return Err(failed.error),
            }
        }
    }

    /// Fetches the bytes of one claim, which another connection fetches too: its failure is not that of the source.
    pub(super) async fn run_once(self: Arc<Self>, claim: Claim) -> Result<(), SourceError> {
        match Box::pin(self.fetch(claim, None)).await {
            Err(Failed { error: SourceError::Origin(error), is_doubled: true }) => {
                debug!(asset = %self.fill.asset().name, %error, "read failed that another one doubles");
                Ok(())
            }
            result => result.map_err(|failed| failed.error),
        }
    }

    /// Claims the next part, or the rest of the slowest one if every part is being fetched.
    fn next_claim(&self) -> Option<Claim> {
        let next = Claim::next(&self.fill, self.index);
        if next.is_some() || self.access.is_stream() {
            return next;
        }
        let claim = Claim::race(&self.fill, self.index)?;
        counter!("bootdepot_slow_parts_total", "action" => "raced").increment(1);
        Some(claim)
    }

    /// Fetches the bytes of `claim`, until they are written by this connection or others.
    async fn fetch(&self, claim: Claim, opened: Option<ResumingRead>) -> Result<(), Failed> {
        let work = async {
            let read = match opened {
                Some(read) => read,
                None => self.open(claim.range()).await?,
            };
            self.store(&claim, read).await
        };
        let result = claim.overtaken().run_until_cancelled(Box::pin(work)).await.unwrap_or(Ok(()));
        let is_doubled = claim.is_doubled();
        drop(claim);
        self.fill.notify();
        result.map_err(|error| Failed { is_doubled: is_doubled && matches!(error, SourceError::Origin(_)), error })
    }

    async fn open(&self, range: ByteRange) -> Result<ResumingRead, SourceError> {
        let mut read = ResumingRead::open(&self.access, range, self.access.is_stream()).await?;
        let (size, total) = (self.partial.size(), read.total().unwrap_or(self.partial.size()));
        if total != size && !read.is_stream() {
            return Err(SourceError::WrongLength(format!("it has {total} bytes, expected {size}")));
        }
        read.narrow_to(range);
        Ok(read)
    }

    /// Writes the bytes of `read` that are missing.
    async fn store(&self, claim: &Claim, mut read: ResumingRead) -> Result<(), SourceError> {
        let mut batch = Batch::default();
        loop {
            // A batch takes the bytes that are available, and is written rather than wait for more.
            let next =
                if batch.pieces.is_empty() { Some(read.chunk().await?) } else { read.chunk_now().transpose()? };
            match next {
                Some(Some((offset, bytes))) => {
                    self.fill.add_received(bytes.len() as u64);
                    batch.add(offset, bytes);
                    if batch.length < BATCH_SIZE {
                        continue;
                    }
                }
                Some(None) if batch.pieces.is_empty() => break,
                Some(None) | None => {}
            }
            claim.advance(batch.length, read.rest());
            self.write(&mut batch).await?;
        }
        Ok(())
    }

    async fn write(&self, batch: &mut Batch) -> Result<(), CacheError> {
        let Batch { start, pieces, .. } = std::mem::take(batch);
        Arc::clone(&self.fill).write(Arc::clone(&self.partial), start, pieces).await
    }
}

/// Contiguous pieces for one write.
#[derive(Default)]
struct Batch {
    start: u64,
    length: u64,
    pieces: Vec<Bytes>,
}

impl Batch {
    fn add(&mut self, offset: u64, piece: Bytes) {
        if self.pieces.is_empty() {
            self.start = offset;
        }
        self.length += piece.len() as u64;
        self.pieces.push(piece);
    }
}
