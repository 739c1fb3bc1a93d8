//! Streams straight from the origin, stored nowhere, for when the cache has no room. Proven all the same: the last
//! piece goes out when the bytes are, against the block list where there is one, else against the whole.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use futures_core::future::BoxFuture;
use tokio::sync::OwnedSemaphorePermit;

use super::ReadError;
use super::board::TAIL;
use super::fetch::Fetch;
use super::stream::{Step, Steps};
use super::verdict::SourceFailures;
use crate::asset::{BlockList, ByteRange, Digest, SourceUrl, Verifier};
use crate::catalog::Asset;
use crate::origin::{OriginError, Origins};
use crate::task::blocking;

/// One asset on its way from the origin to one reader.
pub(super) struct Bypass {
    pub(super) asset: Arc<Asset>,
    /// Sources not tried yet.
    pub(super) sources: VecDeque<SourceUrl>,
    pub(super) origins: Origins,
    pub(super) retries: u32,
    /// What is still to go out.
    pub(super) range: ByteRange,
    /// The asset's size in bytes.
    pub(super) size: u64,
    /// Its block list, where there is one that fits.
    pub(super) blocks: Option<Arc<BlockList>>,
    /// How sources failed so far.
    pub(super) failures: SourceFailures,
    /// The source that is being read.
    pub(super) run: Option<Run>,
    /// Its place among the streams that may go around the cache at a time.
    #[expect(dead_code, reason = "it is held, and given back with the stream")]
    pub(super) slot: Option<OwnedSemaphorePermit>,
}

/// One source being read.
pub(super) struct Run {
    fetch: Fetch,
    source: SourceUrl,
    proof: Proof,
    /// Proven or hashed pieces that are not given out yet, and how many bytes they are.
    held: VecDeque<Bytes>,
    held_bytes: u64,
    given: bool,
}

enum Proof {
    /// Everything from the first byte to the last goes through it.
    Whole(Box<Verifier>),
    /// Each block by itself: the one being gathered, and its index.
    Blocks { gathered: Vec<u8>, index: usize },
    /// The whole was right.
    Done,
}

/// Why a run ended early.
enum End {
    Wrong(String),
    Origin(OriginError),
}

impl From<OriginError> for End {
    fn from(error: OriginError) -> Self {
        Self::Origin(error)
    }
}

impl Bypass {
    /// The same from `offset` on: what lies before went out already, proven.
    pub(super) fn starting_at(mut self, offset: u64) -> Self {
        self.range = ByteRange::new(offset, self.range.end);
        self
    }

    async fn next(&mut self) -> Result<Option<Bytes>, ReadError> {
        if self.range.is_empty() {
            return Ok(None);
        }
        loop {
            let Some(run) = &mut self.run else {
                self.begin().await?;
                continue;
            };
            let end = match run.next(&self.asset.digest, self.range, self.blocks.as_deref()).await {
                Ok(Some(bytes)) => {
                    self.range.start += bytes.len() as u64;
                    run.given = true;
                    return Ok(Some(bytes));
                }
                Ok(None) => return Ok(None),
                Err(end) => end,
            };
            // With a block list all that went out is proven, and another source may take over where this one ended.
            let stuck = run.given && self.blocks.is_none();
            match end {
                End::Wrong(reason) => {
                    tracing::warn!(asset = %self.asset.name, source = %run.source, reason, "wrong bytes; this source is not used");
                    self.failures.wrong(&run.source, &reason);
                }
                End::Origin(OriginError::Changed { .. }) => self.failures.changed(&run.source),
                End::Origin(error) => self.failures.origin(&error),
            }
            self.run = None;
            if stuck {
                self.sources.clear();
            }
        }
    }

    /// Opens the next source.
    async fn begin(&mut self) -> Result<(), ReadError> {
        loop {
            let Some(source) = self.sources.pop_front() else {
                return Err(std::mem::take(&mut self.failures).verdict().1);
            };
            let (ask, proof) = match &self.blocks {
                Some(list) => {
                    let first = self.range.start / list.block_size();
                    let end =
                        self.range.end.div_ceil(list.block_size()).saturating_mul(list.block_size()).min(self.size);
                    let ask = ByteRange::new(first * list.block_size(), end);
                    (ask, Proof::Blocks { gathered: Vec::new(), index: usize::try_from(first).unwrap_or(usize::MAX) })
                }
                None => (ByteRange::whole(self.size), Proof::Whole(Box::default())),
            };
            let error = match Fetch::open(&self.origins, &source, ask, None, self.retries).await {
                Ok(fetch) if fetch.total() == self.size => {
                    let held = VecDeque::new();
                    self.run = Some(Run { fetch, source, proof, held, held_bytes: 0, given: false });
                    return Ok(());
                }
                Ok(fetch) => {
                    let reason = format!("it is {} bytes long, {} were expected", fetch.total(), self.size);
                    self.failures.wrong(&source, &reason);
                    continue;
                }
                Err(error) => error,
            };
            self.failures.origin(&error);
        }
    }
}

impl Run {
    /// The next piece of `range` that may go out; `None` after its last.
    async fn next(
        &mut self,
        digest: &Digest,
        range: ByteRange,
        blocks: Option<&BlockList>,
    ) -> Result<Option<Bytes>, End> {
        if range.is_empty() {
            return Ok(None);
        }
        let tail = TAIL.min(range.len());
        loop {
            let may = if self.is_proven() { self.held_bytes } else { self.held_bytes.saturating_sub(tail) };
            if may > 0
                && let Some(mut piece) = self.held.pop_front()
            {
                if piece.len() as u64 > may {
                    // `may` is below the piece's length, a usize.
                    let rest = piece.split_off(usize::try_from(may).unwrap_or(usize::MAX));
                    self.held.push_front(rest);
                }
                self.held_bytes -= piece.len() as u64;
                return Ok(Some(piece));
            }
            match self.fetch.chunk().await? {
                Some((offset, bytes)) => self.take_in(offset, bytes, range, blocks).await?,
                None => self.conclude(digest)?,
            }
        }
    }

    /// Whether all that is held may go out.
    fn is_proven(&self) -> bool {
        !matches!(self.proof, Proof::Whole(_))
    }

    async fn take_in(
        &mut self,
        offset: u64,
        bytes: Bytes,
        range: ByteRange,
        blocks: Option<&BlockList>,
    ) -> Result<(), End> {
        match &mut self.proof {
            Proof::Whole(verifier) => {
                let (mut hashing, piece) = (std::mem::take(verifier), bytes.clone());
                **verifier = *blocking(move || {
                    hashing.update(&piece);
                    hashing
                })
                .await;
                self.hold(offset, &bytes, range);
            }
            Proof::Done => {}
            Proof::Blocks { gathered, index } => {
                let Some(list) = blocks else { return Ok(()) };
                let mut rest = bytes;
                let mut at = offset;
                // A source that ignores ranges begins before the first block that is wanted.
                let first = list.range(*index).start + gathered.len() as u64;
                if at < first {
                    let skip = usize::try_from(first - at).unwrap_or(usize::MAX).min(rest.len());
                    rest = rest.split_off(skip);
                    at += skip as u64;
                }
                let mut proven = Vec::new();
                while !rest.is_empty() {
                    let block = list.range(*index);
                    let missing = usize::try_from(block.end - at).unwrap_or(usize::MAX).min(rest.len());
                    gathered.extend_from_slice(&rest.split_to(missing));
                    at += missing as u64;
                    if at < block.end {
                        break;
                    }
                    let whole = Bytes::from(std::mem::take(gathered));
                    let hashed = whole.clone();
                    let found = blocking(move || Digest::of(&hashed)).await;
                    if list.digest(*index) != Some(&found) {
                        return Err(End::Wrong(format!(
                            "block {index} (bytes {block}) is not what the block list says"
                        )));
                    }
                    *index += 1;
                    proven.push((block.start, whole));
                    if block.end >= range.end {
                        break;
                    }
                }
                for (start, whole) in proven {
                    self.hold(start, &whole, range);
                }
            }
        }
        Ok(())
    }

    /// Keeps what of `bytes` lies in `range` and is not held yet.
    fn hold(&mut self, offset: u64, bytes: &Bytes, range: ByteRange) {
        let wanted = ByteRange::new(offset, offset + bytes.len() as u64).intersect(&range);
        if !wanted.is_empty() {
            let from = usize::try_from(wanted.start - offset).unwrap_or_default();
            let length = usize::try_from(wanted.len()).unwrap_or_default();
            self.held_bytes += wanted.len();
            self.held.push_back(bytes.slice(from..from + length));
        }
    }

    /// The last byte is here: it is right, or nothing more goes out.
    fn conclude(&mut self, digest: &Digest) -> Result<(), End> {
        match &mut self.proof {
            Proof::Whole(verifier) => match std::mem::take(&mut **verifier).verify(digest) {
                Ok(_) => {
                    self.proof = Proof::Done;
                    Ok(())
                }
                Err(found) => Err(End::Wrong(format!("its bytes have the SHA-256 {found}, the catalog says {digest}"))),
            },
            Proof::Blocks { .. } | Proof::Done => Err(End::Wrong("it ended before the last block".to_owned())),
        }
    }
}

impl Steps for Bypass {
    fn step(mut self: Box<Self>) -> BoxFuture<'static, Step> {
        Box::pin(async move {
            let piece = self.next().await?;
            Ok(piece.map(|bytes| (bytes, self as Box<dyn Steps>)))
        })
    }
}
