//! Reads that bypass the cache: directly from the origin, without storing, when the cache has no space.
//!
//! The bytes are verified all the same: block by block with a block list, otherwise as a whole, in which case the last piece
//! is held back until the whole is verified.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::OwnedSemaphorePermit;
use tracing::warn;

use super::error::ReadError;
use super::negative_cache::NegativeEntries;
use super::progress::HELD_TAIL;
use super::resuming_read::ResumingRead;
use super::snapshot::Snapshot;
use super::source_access::SourceAccess;
use super::source_failures::SourceFailures;
use crate::asset::{BlockList, ByteRange, Digest, SourceUrl, Verifier};
use crate::catalog::Asset;
use crate::origin::{OriginError, Origins};
use crate::task::blocking;

/// A read of one asset from the origin.
pub(super) struct Bypass {
    asset: Arc<Asset>,
    /// Sources that were not tried yet.
    sources: VecDeque<SourceUrl>,
    origins: Origins,
    /// The sources that are known not to have the blob.
    negative: NegativeEntries,
    retries: u32,
    /// The first byte of the read.
    start: u64,
    /// The bytes that are still to be returned.
    range: ByteRange,
    /// The asset's size in bytes.
    size: u64,
    /// The block list, if there is one for this size.
    block_list: Option<Arc<BlockList>>,
    failures: SourceFailures,
    /// The source that is being read.
    current: Option<SourceRead>,
    #[expect(dead_code, reason = "released with the stream")]
    permit: Option<OwnedSemaphorePermit>,
}

/// One source that is being read.
struct SourceRead {
    read: ResumingRead,
    source: SourceUrl,
    verification: Verification,
    /// Hashed or verified pieces that were not returned yet, and their bytes.
    buffered: VecDeque<Bytes>,
    buffered_bytes: u64,
    /// Whether any piece was returned.
    returned_any: bool,
}

/// How the bytes of a source are verified.
enum Verification {
    /// By one hash of the whole.
    Whole(Box<Verifier>),
    /// Block by block: the bytes of the current block, and its index.
    Blocks { buffer: Vec<u8>, index: usize },
    /// The whole is verified.
    Done,
}

/// Why a source failed.
enum Failure {
    WrongBytes(String),
    Origin(OriginError),
}

impl From<OriginError> for Failure {
    fn from(error: OriginError) -> Self {
        Self::Origin(error)
    }
}

impl Bypass {
    /// Prepares a read of `range`; waits for a permit.
    pub(super) async fn new(
        snapshot: &Snapshot,
        asset: Arc<Asset>,
        block_list: Option<Arc<BlockList>>,
        range: ByteRange,
        size: u64,
    ) -> Self {
        // The semaphore is never closed.
        let permit = Arc::clone(&snapshot.bypass_permits).acquire_owned().await.ok();
        Self {
            sources: snapshot.sources(&asset).into(),
            origins: snapshot.origins.clone(),
            negative: snapshot.negative(&asset.digest),
            retries: snapshot.settings.retries,
            block_list: block_list.filter(|list| list.size() == size),
            failures: SourceFailures::default(),
            current: None,
            asset,
            start: range.start,
            range,
            size,
            permit,
        }
    }

    /// The next bytes; `None` after the last.
    ///
    /// If a source fails after bytes of it were returned, and no block list verified them, calls `restart`: only if that
    /// voids them and returns `true`, another source is read, from the first byte.
    pub(super) async fn next(
        &mut self,
        restart: &mut (dyn FnMut() -> bool + Send),
    ) -> Result<Option<Bytes>, ReadError> {
        if self.range.is_empty() {
            return Ok(None);
        }
        loop {
            let Some(current) = &mut self.current else {
                self.open_next_source().await?;
                continue;
            };
            let failure = match current.next(&self.asset.digest, self.range, self.block_list.as_deref()).await {
                Ok(Some(bytes)) => {
                    self.range.start += bytes.len() as u64;
                    current.returned_any = true;
                    return Ok(Some(bytes));
                }
                Ok(None) => return Ok(None),
                Err(failure) => failure,
            };
            // With a block list all returned bytes are verified, and another source can continue.
            let is_unverified = current.returned_any && self.block_list.is_none();
            match failure {
                Failure::WrongBytes(reason) => {
                    let reason = current.read.access().explain(&reason);
                    warn!(asset = %self.asset.name, source = %current.source, reason, "source has wrong bytes");
                    self.failures.add_wrong_bytes(&current.source, &reason);
                }
                Failure::Origin(error) => self.failures.add_error(&error),
            }
            self.current = None;
            if is_unverified {
                self.range.start = self.start;
                if !restart() {
                    self.sources.clear();
                }
            }
        }
    }

    /// Opens the next source that can be read. Fails if none is left.
    async fn open_next_source(&mut self) -> Result<(), ReadError> {
        while let Some(source) = self.sources.pop_front() {
            if let Some(known) = self.negative.get(&source) {
                self.failures.add_known(&source, known);
                continue;
            }
            let (range, verification) = self.first_request();
            let access = SourceAccess::new(&self.asset.name, &self.origins, &source, Some(self.size), self.retries);
            match ResumingRead::open(&Arc::new(access), range, true).await {
                Ok(read) if read.total().is_none_or(|total| total == self.size) => {
                    let buffered = VecDeque::new();
                    self.current = Some(SourceRead {
                        read,
                        source,
                        verification,
                        buffered,
                        buffered_bytes: 0,
                        returned_any: false,
                    });
                    return Ok(());
                }
                Ok(mut read) => {
                    let total = read.total().unwrap_or_default();
                    let reason = read.explain(&format!("it has {total} bytes, expected {}", self.size)).await;
                    self.failures.add_wrong_bytes(&source, &reason);
                }
                Err(error) => {
                    self.negative.add_error(&source, &error);
                    self.failures.add_error(&error);
                }
            }
        }
        Err(std::mem::take(&mut self.failures).into_outcome().1)
    }

    /// The range to request from a source, and how to verify it: the blocks of the wanted range, or the whole.
    fn first_request(&self) -> (ByteRange, Verification) {
        let Some(list) = &self.block_list else {
            return (ByteRange::whole(self.size), Verification::Whole(Box::default()));
        };
        let first = self.range.start / list.block_size();
        let end = self.range.end.div_ceil(list.block_size()).saturating_mul(list.block_size()).min(self.size);
        let index = usize::try_from(first).unwrap_or(usize::MAX);
        let range = ByteRange::new(first * list.block_size(), end);
        (range, Verification::Blocks { buffer: Vec::new(), index })
    }
}

impl SourceRead {
    /// The next piece of `range` that may be sent; `None` after the last.
    async fn next(
        &mut self,
        digest: &Digest,
        range: ByteRange,
        block_list: Option<&BlockList>,
    ) -> Result<Option<Bytes>, Failure> {
        if range.is_empty() {
            return Ok(None);
        }
        let tail = HELD_TAIL.min(range.len());
        loop {
            if let Some(piece) = self.take_piece(tail) {
                return Ok(Some(piece));
            }
            match self.read.chunk().await? {
                Some((offset, bytes)) => self.add(offset, bytes, range, block_list).await?,
                None => self.finish(digest)?,
            }
        }
    }

    /// Takes a buffered piece. Unless everything buffered is verified, the last `tail` bytes stay.
    fn take_piece(&mut self, tail: u64) -> Option<Bytes> {
        let is_verified = !matches!(self.verification, Verification::Whole(_));
        let available = if is_verified { self.buffered_bytes } else { self.buffered_bytes.saturating_sub(tail) };
        if available == 0 {
            return None;
        }
        let mut piece = self.buffered.pop_front()?;
        if piece.len() as u64 > available {
            // `available` is less than the piece's length, a usize.
            let rest = piece.split_off(usize::try_from(available).unwrap_or(usize::MAX));
            self.buffered.push_front(rest);
        }
        self.buffered_bytes -= piece.len() as u64;
        Some(piece)
    }

    /// Hashes received bytes, and buffers those of `range`.
    async fn add(
        &mut self,
        offset: u64,
        bytes: Bytes,
        range: ByteRange,
        block_list: Option<&BlockList>,
    ) -> Result<(), Failure> {
        match &mut self.verification {
            Verification::Whole(verifier) => {
                let (mut hashing, piece) = (std::mem::take(verifier), bytes.clone());
                **verifier = *blocking(move || {
                    hashing.update(&piece);
                    hashing
                })
                .await;
                self.buffer(offset, &bytes, range);
                Ok(())
            }
            Verification::Blocks { .. } => match block_list {
                Some(list) => self.add_to_blocks(offset, bytes, range, list).await,
                None => Ok(()),
            },
            Verification::Done => Ok(()),
        }
    }

    /// Collects whole blocks, verifies each, and buffers its bytes of `range`.
    async fn add_to_blocks(
        &mut self,
        offset: u64,
        bytes: Bytes,
        range: ByteRange,
        list: &BlockList,
    ) -> Result<(), Failure> {
        let Verification::Blocks { buffer, index } = &mut self.verification else { return Ok(()) };
        let (mut rest, mut at) = (bytes, offset);
        // A source that ignores ranges sends bytes before the first wanted block.
        let first = list.range(*index).start + buffer.len() as u64;
        if at < first {
            let skip = usize::try_from(first - at).unwrap_or(usize::MAX).min(rest.len());
            rest = rest.split_off(skip);
            at += skip as u64;
        }
        let mut verified = Vec::new();
        while !rest.is_empty() {
            let block = list.range(*index);
            let missing = usize::try_from(block.end - at).unwrap_or(usize::MAX).min(rest.len());
            buffer.extend_from_slice(&rest.split_to(missing));
            at += missing as u64;
            if at < block.end {
                break;
            }
            let whole = Bytes::from(std::mem::take(buffer));
            let hashed = whole.clone();
            let found = blocking(move || Digest::of(&hashed)).await;
            if list.digest(*index) != Some(&found) {
                let reason = format!("block {index} (bytes {block}) does not match the block list");
                return Err(Failure::WrongBytes(reason));
            }
            *index += 1;
            verified.push((block.start, whole));
            if block.end >= range.end {
                break;
            }
        }
        for (start, whole) in verified {
            self.buffer(start, &whole, range);
        }
        Ok(())
    }

    /// Buffers the bytes that lie in `range`.
    fn buffer(&mut self, offset: u64, bytes: &Bytes, range: ByteRange) {
        let wanted = ByteRange::new(offset, offset + bytes.len() as u64).intersect(&range);
        if !wanted.is_empty() {
            let from = usize::try_from(wanted.start - offset).unwrap_or_default();
            let length = usize::try_from(wanted.len()).unwrap_or_default();
            self.buffered_bytes += wanted.len();
            self.buffered.push_back(bytes.slice(from..from + length));
        }
    }

    /// Verifies the whole after its last byte. Fails if the bytes are wrong: then the held tail is not sent.
    fn finish(&mut self, digest: &Digest) -> Result<(), Failure> {
        match &mut self.verification {
            Verification::Whole(verifier) => match std::mem::take(&mut **verifier).verify(digest) {
                Ok(_) => {
                    self.verification = Verification::Done;
                    Ok(())
                }
                Err(found) => {
                    Err(Failure::WrongBytes(format!("its bytes have the SHA-256 {found}, the catalog has {digest}")))
                }
            },
            Verification::Blocks { .. } | Verification::Done => {
                Err(Failure::WrongBytes("it ended before the last block".to_owned()))
            }
        }
    }
}
