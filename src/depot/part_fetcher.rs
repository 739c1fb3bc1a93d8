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

impl PartFetcher {
    /// Fetches part after part until none is missing. Starts with `first`, a read that is already open.
    pub(super) async fn run(self: Arc<Self>, first: Option<(Claim, ResumingRead)>) -> Result<(), SourceError> {
        let mut changes = self.fill.subscribe();
        if let Some((claim, read)) = first {
            self.fetch(claim, Some(read)).await?;
        }
        loop {
            if self.fill.progress().is_complete() {
                return Ok(());
            }
            match self.next_claim() {
                Some(claim) => self.fetch(claim, None).await?,
                // Other connections fetch the rest. A bad block can be missing again.
                None => drop(changes.changed().await),
            }
        }
    }

    /// Fetches the bytes of one claim.
    pub(super) async fn run_once(self: Arc<Self>, claim: Claim) -> Result<(), SourceError> {
        self.fetch(claim, None).await
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
    async fn fetch(&self, claim: Claim, opened: Option<ResumingRead>) -> Result<(), SourceError> {
        let work = async {
            let read = match opened {
                Some(read) => read,
                None => self.open(claim.range()).await?,
            };
            self.store(&claim, read).await
        };
        let result = claim.overtaken().run_until_cancelled(work).await.unwrap_or(Ok(()));
        let is_doubled = claim.is_doubled();
        drop(claim);
        self.fill.notify();
        match result {
            Err(SourceError::Origin(error)) if is_doubled => {
                debug!(asset = %self.fill.asset().name, %error, "read failed that another one doubles");
                Ok(())
            }
            result => result,
        }
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
