//! Streams of an asset's bytes: from a blob, from a fill under way, or straight from the origin.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_core::Stream;
use futures_core::future::BoxFuture;
use tokio::task::JoinHandle;

use super::blob::Blob;
use super::board::{Grant, TAIL, WantId};
use super::bypass::Bypass;
use super::fill::{Fill, Phase};
use super::verdict::ASK_AGAIN;
use super::{CacheState, Delivery, Depot, ReadError, Release};
use crate::asset::ByteRange;
use crate::cache::Partial;
use crate::task::blocking;

/// One frame of mapped pages: many system calls' worth for the socket, few page table walks to bring in.
const MAPPED_FRAME: u64 = 4 << 20;
/// One frame that is copied: what TLS and netascii turn over.
const COPIED_FRAME: u64 = 256 << 10;
/// One frame of a fill under way. Each reader has one or two in memory of its own: 128 KiB keeps a thousand machines that
/// wait for one fill within a quarter of a GiB.
const FILL_FRAME: u64 = 128 << 10;

/// Bytes of one asset in order. Ends (`None`) only after the last byte of the range, and only when the bytes are proven.
///
/// An `Err` is final, and comes again when asked again: whoever sends the bytes on must break the transfer off, never
/// complete it.
pub struct ByteStream {
    inner: Inner,
    remaining: u64,
    state: CacheState,
}

enum Inner {
    /// All of it, in memory.
    Ready(Option<Bytes>),
    Blob(BlobStream),
    /// One step yields the next piece and the way to the one after it.
    Steps(Option<BoxFuture<'static, Step>>),
    Failed(ReadError),
}

/// The next bytes, and what makes the step after them.
pub(super) type Piece = (Bytes, Box<dyn Steps>);

/// What one step came to: the next piece, or the end.
pub(super) type Step = Result<Option<Piece>, ReadError>;

/// A source of pieces that takes a while for each.
pub(super) trait Steps: Send {
    /// The next piece.
    fn step(self: Box<Self>) -> BoxFuture<'static, Step>;
}

impl ByteStream {
    /// A stream of a text that was made, not fetched.
    pub fn made(text: Bytes) -> Self {
        Self::ready(text, CacheState::Hit)
    }

    /// A stream of what is in memory already.
    pub(super) fn ready(bytes: Bytes, state: CacheState) -> Self {
        let remaining = bytes.len() as u64;
        Self { inner: Inner::Ready(Some(bytes).filter(|b| !b.is_empty())), remaining, state }
    }

    /// A stream of `range` of a proven blob.
    pub(super) fn blob(blob: Blob, range: ByteRange, delivery: Delivery, state: CacheState) -> Self {
        Self { inner: Inner::Blob(BlobStream::new(blob, range, delivery)), remaining: range.len(), state }
    }

    /// A stream of `range` of a fill; returns with its first piece in hand.
    pub(super) async fn fill(
        depot: Depot,
        fill: Arc<Fill>,
        range: ByteRange,
        terms: Terms,
        state: CacheState,
        bypass: BoxFuture<'static, Bypass>,
    ) -> Result<Self, ReadError> {
        let want = fill.board().want(range);
        let stream = FillStream {
            depot,
            fill,
            want,
            at: range.start,
            end: range.end,
            tail: TAIL.min(range.len()),
            terms,
            sent_unproven: None,
            bypass: Some(bypass),
        };
        if let Phase::Unstored(reason) = stream.fill.begun().await {
            let first = Box::new(stream).go_around(reason).await?;
            return Ok(Self::begun(first, range.len(), CacheState::Bypass));
        }
        Ok(Self::begun(Box::new(stream).step().await?, range.len(), state))
    }

    /// A stream straight from the origin; returns with its first piece in hand.
    pub(super) async fn bypass(bypass: Bypass, remaining: u64) -> Result<Self, ReadError> {
        Ok(Self::begun(Box::new(bypass).step().await?, remaining, CacheState::Bypass))
    }

    /// A stream whose first step came to `first`. An empty range ends at once, but not before what it is of is known to
    /// be right.
    fn begun(first: Option<Piece>, remaining: u64, state: CacheState) -> Self {
        let inner = match first {
            Some(piece) => Inner::Steps(Some(Box::pin(std::future::ready(Ok(Some(piece)))))),
            None => Inner::Ready(None),
        };
        Self { inner, remaining, state }
    }

    /// How many bytes are still to come.
    pub fn remaining(&self) -> u64 {
        self.remaining
    }

    /// How the asset was found.
    pub fn cache_state(&self) -> CacheState {
        self.state
    }
}

impl Stream for ByteStream {
    type Item = Result<Bytes, ReadError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        let item = match &mut this.inner {
            Inner::Ready(bytes) => bytes.take().map(Ok),
            Inner::Failed(error) => Some(Err(error.clone())),
            Inner::Blob(blob) => ready!(blob.poll_next(cx)),
            Inner::Steps(slot) => match slot {
                None => None,
                Some(step) => match ready!(step.as_mut().poll(cx)) {
                    Ok(Some((bytes, next))) => {
                        *slot = (bytes.len() as u64 != this.remaining).then(|| next.step());
                        Some(Ok(bytes))
                    }
                    end => {
                        *slot = None;
                        end.err().map(Err)
                    }
                },
            },
        };
        match &item {
            Some(Ok(bytes)) => this.remaining -= bytes.len() as u64,
            Some(Err(error)) => this.inner = Inner::Failed(error.clone()),
            None => {}
        }
        Poll::Ready(item)
    }
}

/// A stream of a proven blob. Pages that are not in memory are brought in on blocking threads, one frame ahead.
struct BlobStream {
    blob: Blob,
    rest: ByteRange,
    delivery: Delivery,
    coming: VecDeque<JoinHandle<Result<Bytes, ReadError>>>,
}

impl BlobStream {
    fn new(blob: Blob, rest: ByteRange, delivery: Delivery) -> Self {
        Self { blob, rest, delivery, coming: VecDeque::new() }
    }

    fn take_frame(&mut self) -> Option<ByteRange> {
        let frame = match self.delivery {
            Delivery::Mapped => MAPPED_FRAME,
            Delivery::Copied => COPIED_FRAME,
        };
        // Frames end at multiples of their size, so that all readers of a blob have them in common and the cache need not
        // map the same pages for each.
        let end = (self.rest.start / frame + 1).saturating_mul(frame);
        let range = ByteRange::new(self.rest.start, self.rest.end.min(end));
        self.rest.start = range.end;
        (!range.is_empty()).then_some(range)
    }

    fn bring(&mut self) {
        let Some(range) = self.take_frame() else { return };
        let (blob, delivery) = (self.blob.clone(), self.delivery);
        self.coming.push_back(tokio::task::spawn_blocking(move || blob.read(range, delivery)));
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, ReadError>>> {
        if self.coming.is_empty() {
            let before = self.rest.start;
            let Some(range) = self.take_frame() else { return Poll::Ready(None) };
            if let Some(bytes) = self.blob.read_resident(range, self.delivery) {
                return Poll::Ready(Some(Ok(bytes)));
            }
            self.rest.start = before;
            self.bring();
        }
        if self.coming.len() == 1 {
            self.bring();
        }
        let Some(first) = self.coming.front_mut() else { return Poll::Ready(None) };
        let read = ready!(Pin::new(first).poll(cx));
        self.coming.pop_front();
        Poll::Ready(Some(read.unwrap_or_else(|error| Err(ReadError::Disk(error.to_string())))))
    }
}

/// What was agreed on before a stream began.
#[derive(Clone, Copy)]
pub(super) struct Terms {
    /// The size of the asset that the client was told, or will be.
    pub(super) size: u64,
    pub(super) delivery: Delivery,
    pub(super) release: Release,
}

impl Terms {
    /// Whether an asset of `size` bytes is what the client was told.
    pub(super) fn hold(&self, size: u64) -> Result<(), ReadError> {
        if size == self.size {
            return Ok(());
        }
        let reason = format!("it is {size} bytes long, and was said to be {}", self.size);
        Err(ReadError::Unavailable { reason, retry_after: ASK_AGAIN })
    }
}

/// A stream of a fill under way, and after its end of what it became.
struct FillStream {
    depot: Depot,
    fill: Arc<Fill>,
    want: WantId,
    at: u64,
    end: u64,
    tail: u64,
    terms: Terms,
    /// The generation of unproven bytes that were given out. If it is not the fill's any more they may have been wrong.
    sent_unproven: Option<u64>,
    bypass: Option<BoxFuture<'static, Bypass>>,
}

impl Drop for FillStream {
    fn drop(&mut self) {
        self.fill.board().unwant(self.want);
    }
}

impl Steps for FillStream {
    fn step(mut self: Box<Self>) -> BoxFuture<'static, Step> {
        Box::pin(async move {
            let mut changes = self.fill.changes();
            loop {
                changes.mark_unchanged();
                if let Some(fault) = self.sent_unproven.and_then(|sent| self.fill.board().fault_since(sent)) {
                    return Err(fault);
                }
                match self.fill.phase() {
                    Phase::Starting => {}
                    Phase::Failed(error) => return Err(error),
                    Phase::Unstored(reason) => return self.go_around(reason).await,
                    Phase::Complete(entry) => {
                        self.terms.hold(entry.size())?;
                        let rest = ByteRange::new(self.at, self.end);
                        let blob = Blob::new(self.depot.clone(), Arc::clone(self.fill.asset()), entry);
                        return BlobStream::new(blob, rest, self.terms.delivery).next_step().await;
                    }
                    Phase::Filling(partial) => {
                        self.terms.hold(partial.size())?;
                        let whole_only = self.terms.release == Release::Whole;
                        let grant = self.fill.board().grant(self.at, self.end, self.tail, whole_only);
                        let (range, generation) = match grant {
                            Grant::Wait => (ByteRange::default(), None),
                            Grant::Proven(range) => (range, None),
                            Grant::Unproven(range, generation) => (range, Some(generation)),
                        };
                        if !range.is_empty() {
                            let range = ByteRange::new(range.start, range.end.min(range.start + FILL_FRAME));
                            let bytes = read(partial, range).await?;
                            if generation.is_some_and(|read| read != self.fill.board().generation()) {
                                continue;
                            }
                            self.sent_unproven = self.sent_unproven.or(generation);
                            return Ok(Some(self.gave(bytes)));
                        }
                    }
                }
                // The sender is part of the fill that this stream holds.
                let _ = changes.changed().await;
            }
        })
    }
}

impl FillStream {
    fn gave(mut self: Box<Self>, bytes: Bytes) -> (Bytes, Box<dyn Steps>) {
        self.at += bytes.len() as u64;
        self.fill.board().advance(self.want, self.at);
        (bytes, self)
    }

    /// The fill cannot be stored: on from the origin itself, unless unproven bytes went out that nobody can prove now.
    async fn go_around(mut self: Box<Self>, reason: String) -> Step {
        match self.bypass.take() {
            Some(bypass) if self.sent_unproven.is_none() => {
                let bypass = bypass.await.starting_at(self.at);
                drop(self);
                Box::new(bypass).step().await
            }
            _ => Err(ReadError::Disk(reason)),
        }
    }
}

impl BlobStream {
    async fn next_step(mut self) -> Step {
        let piece = std::future::poll_fn(|cx| self.poll_next(cx)).await.transpose()?;
        Ok(piece.map(|bytes| (bytes, Box::new(self) as Box<dyn Steps>)))
    }
}

impl Steps for BlobStream {
    fn step(self: Box<Self>) -> BoxFuture<'static, Step> {
        Box::pin(self.next_step())
    }
}

async fn read(partial: Arc<Partial>, range: ByteRange) -> Result<Bytes, ReadError> {
    let work = move || {
        let mut data = vec![0; usize::try_from(range.len()).unwrap_or_default()];
        partial.read_at(range.start, &mut data).map(|()| Bytes::from(data))
    };
    blocking(work).await.map_err(|error| ReadError::Disk(error.to_string()))
}
