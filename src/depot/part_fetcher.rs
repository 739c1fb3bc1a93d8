//! Part fetchers: the connections that read one source's bytes into a fill.

use std::sync::Arc;

use bytes::Bytes;

use super::fill::Fill;
use super::resuming_read::ResumingRead;
use super::source_error::SourceError;
use crate::asset::{ByteRange, SourceUrl};
use crate::cache::{CacheError, Partial};
use crate::origin::{Origins, Validator};

/// Bytes per write to the disk: few system calls, and readers wait for little.
const BATCH_SIZE: u64 = 1 << 20;

/// Fetches parts of one source into a fill. All connections of the source share one value.
pub(super) struct PartFetcher {
    pub(super) fill: Arc<Fill>,
    pub(super) partial: Arc<Partial>,
    pub(super) origins: Origins,
    pub(super) source: SourceUrl,
    /// The validator that the object must keep, if the source sends one.
    pub(super) validator: Option<Validator>,
    pub(super) retries: u32,
}

impl PartFetcher {
    /// Fetches part after part until none is missing. Starts with `first`, a read that is already open.
    pub(super) async fn run(self: Arc<Self>, first: Option<ResumingRead>) -> Result<(), SourceError> {
        let mut changes = self.fill.subscribe();
        if let Some(read) = first {
            self.store(read).await?;
        }
        loop {
            let claim = {
                let mut progress = self.fill.progress();
                if progress.is_complete() {
                    return Ok(());
                }
                progress.claim()
            };
            let Some(range) = claim else {
                // Other connections fetch the rest. A bad block can be missing again.
                let _ = changes.changed().await;
                continue;
            };
            self.store(self.open(range).await?).await?;
        }
    }

    async fn open(&self, range: ByteRange) -> Result<ResumingRead, SourceError> {
        let opened = ResumingRead::open(&self.origins, &self.source, range, self.validator.clone(), self.retries).await;
        let mut read = opened.map_err(|error| match error {
            // The object existed a moment ago, so it was deleted or replaced.
            error if error.is_not_found() => SourceError::Changed,
            error => error.into(),
        })?;
        if read.total() != self.partial.size() {
            return Err(SourceError::Changed);
        }
        read.narrow_to(range);
        Ok(read)
    }

    /// Writes the missing bytes of `read`. Written bytes are skipped: they may be hashed or verified already.
    async fn store(&self, mut read: ResumingRead) -> Result<(), SourceError> {
        let claim = read.rest();
        let mut batch = Batch::default();
        loop {
            // A batch takes the bytes that are available, and is written rather than wait for more.
            let next =
                if batch.pieces.is_empty() { Some(read.chunk().await?) } else { read.chunk_now().transpose()? };
            match next {
                Some(Some((offset, bytes))) => {
                    self.fill.add_received(bytes.len() as u64);
                    let missing = self.fill.progress().missing(ByteRange::new(offset, offset + bytes.len() as u64));
                    for gap in missing {
                        if !batch.pieces.is_empty() && batch.range.end != gap.start {
                            self.write(&mut batch).await?;
                        }
                        // The gap lies within the chunk, whose length is a usize.
                        let at = |position: u64| usize::try_from(position - offset).unwrap_or(usize::MAX);
                        batch.add(gap, bytes.slice(at(gap.start)..at(gap.end)));
                    }
                    if batch.range.len() < BATCH_SIZE {
                        continue;
                    }
                }
                Some(None) if batch.pieces.is_empty() => break,
                Some(None) | None => {}
            }
            self.write(&mut batch).await?;
        }
        self.fill.progress().release(claim);
        self.fill.notify();
        Ok(())
    }

    async fn write(&self, batch: &mut Batch) -> Result<(), CacheError> {
        let Batch { range, pieces } = std::mem::take(batch);
        Arc::clone(&self.fill).write(Arc::clone(&self.partial), range.start, pieces).await
    }
}

/// Contiguous pieces for one write.
#[derive(Default)]
struct Batch {
    range: ByteRange,
    pieces: Vec<Bytes>,
}

impl Batch {
    fn add(&mut self, range: ByteRange, piece: Bytes) {
        let start = if self.pieces.is_empty() { range.start } else { self.range.start };
        self.range = ByteRange::new(start, range.end);
        self.pieces.push(piece);
    }
}
