//! The connections that fetch one source's bytes into a fill, and the proof of its blocks as they come.

use std::collections::HashSet;
use std::sync::Arc;

use tracing::warn;

use super::drive::Setback;
use super::fetch::Fetch;
use super::fill::Fill;
use super::hashing;
use crate::asset::{ByteRange, SourceUrl};
use crate::cache::{CacheError, Partial};
use crate::origin::{OriginError, Origins, Validator};

/// Bytes handed to the disk at a time: few system calls, and a reader waits for little.
const BATCH: u64 = 1 << 20;

/// What the connections to one source share.
pub(super) struct Crew {
    pub(super) fill: Arc<Fill>,
    pub(super) partial: Arc<Partial>,
    pub(super) origins: Origins,
    pub(super) source: SourceUrl,
    /// What the object must still have, where the source names its state.
    pub(super) validator: Option<Validator>,
    pub(super) retries: u32,
}

impl Crew {
    /// Fetches part after part until none is missing, beginning with what `first` brings.
    pub(super) async fn work(self: Arc<Self>, first: Option<Fetch>) -> Result<(), Setback> {
        let mut changes = self.fill.changes();
        if let Some(fetch) = first {
            self.take_in(fetch).await?;
        }
        loop {
            let claim = {
                let mut board = self.fill.board();
                if board.is_full() {
                    return Ok(());
                }
                board.claim()
            };
            let Some(range) = claim else {
                // Another connection has the rest; a bad block or a failed part may still come back.
                let _ = changes.changed().await;
                continue;
            };
            self.take_in(self.open(range).await?).await?;
        }
    }

    async fn open(&self, range: ByteRange) -> Result<Fetch, Setback> {
        let opened = Fetch::open(&self.origins, &self.source, range, self.validator.clone(), self.retries).await;
        let mut fetch = opened.map_err(|error| match error {
            // The object was here a moment ago, and now there is another in its place or none.
            OriginError::NotFound { .. } => Setback::Changed,
            error => error.into(),
        })?;
        if fetch.total() != self.partial.size() {
            return Err(Setback::Changed);
        }
        fetch.only(range);
        Ok(fetch)
    }

    /// Writes all that `fetch` brings and is missing: what is here may be hashed or proven already.
    async fn take_in(&self, mut fetch: Fetch) -> Result<(), Setback> {
        let claim = fetch.rest();
        let mut batch = Batch::default();
        loop {
            // Bytes that have come already go along; what is here is not kept waiting for those that have not.
            let next =
                if batch.pieces.is_empty() { Some(fetch.chunk().await?) } else { fetch.chunk_now().transpose()? };
            match next {
                Some(Some((offset, bytes))) => {
                    self.fill.add_received(bytes.len() as u64);
                    let missing = self.fill.board().missing(ByteRange::new(offset, offset + bytes.len() as u64));
                    for gap in missing {
                        if !batch.pieces.is_empty() && batch.range.end != gap.start {
                            self.write(&mut batch).await?;
                        }
                        // The gap lies within the chunk, whose length is a usize.
                        let at = |offset_in: u64| usize::try_from(offset_in - offset).unwrap_or(usize::MAX);
                        batch.add(gap, bytes.slice(at(gap.start)..at(gap.end)));
                    }
                    if batch.range.len() < BATCH {
                        continue;
                    }
                }
                Some(None) if batch.pieces.is_empty() => break,
                Some(None) | None => {}
            }
            self.write(&mut batch).await?;
        }
        self.fill.board().release(claim);
        self.fill.changed();
        Ok(())
    }

    async fn write(&self, batch: &mut Batch) -> Result<(), CacheError> {
        let Batch { range, pieces } = std::mem::take(batch);
        Arc::clone(&self.fill).write(Arc::clone(&self.partial), range.start, pieces).await
    }

    /// Proves each block as its bytes come; a bad one is fetched again alone, once.
    pub(super) async fn prove_blocks(&self) -> Result<(), Setback> {
        let mut changes = self.fill.changes();
        let mut bad = HashSet::new();
        loop {
            let (next, full) = {
                let board = self.fill.board();
                let next = board.unproven_block();
                let next = next.and_then(|index| {
                    let list = board.blocks()?;
                    Some((index, list.range(index), *list.digest(index)?))
                });
                (next, board.is_full())
            };
            let Some((index, range, expected)) = next else {
                if full {
                    return Ok(());
                }
                let _ = changes.changed().await;
                continue;
            };
            let right = hashing::is_right(&self.fill, Arc::clone(&self.partial), range, expected).await?;
            self.fill.board().judge_block(index, right);
            self.fill.changed();
            if !right {
                let (asset, source) = (&self.fill.asset().name, &self.source);
                warn!(%asset, %source, block = index, bytes = %range, "a block has wrong bytes");
                if !bad.insert(index) {
                    let reason = format!("block {index} (bytes {range}) is not what the block list says");
                    return Err(Setback::WrongBlock(reason));
                }
            }
        }
    }
}

/// Pieces that follow one another, on their way to the disk.
#[derive(Default)]
struct Batch {
    range: ByteRange,
    pieces: Vec<bytes::Bytes>,
}

impl Batch {
    fn add(&mut self, range: ByteRange, piece: bytes::Bytes) {
        let start = if self.pieces.is_empty() { range.start } else { self.range.start };
        self.range = ByteRange::new(start, range.end);
        self.pieces.push(piece);
    }
}
