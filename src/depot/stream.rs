//! Streams of an asset's bytes: from a cached blob, from an active fill, or directly from the origin.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_core::Stream;
use futures_core::future::BoxFuture;
use futures_core::stream::BoxStream;
use futures_util::stream::try_unfold;
use futures_util::{FutureExt as _, StreamExt as _};

use super::blob::Blob;
use super::blob_stream::BlobStream;
use super::bypass_reader::BypassReader;
use super::cache_state::CacheState;
use super::error::ReadError;
use super::facade::Depot;
use super::fill::Fill;
use super::fill_stream::{FillStream, charged};
use super::settings::StreamOptions;
use crate::asset::ByteRange;
use crate::cache::Piece;
use crate::memory::StreamMemory;

/// The bytes of one range of an asset, in order. Ends (`None`) only after the last byte of the range, and only when the bytes
/// are verified.
///
/// An `Err` is final, and every further poll returns it again: the sender must abort the transfer, never complete it.
pub struct ByteStream {
    inner: Inner,
    remaining: u64,
    state: CacheState,
}

enum Inner {
    /// All bytes, in memory.
    Ready(Option<Bytes>),
    Blob(Box<BlobStream>),
    /// The first piece, which was read in advance, and the rest. The rest is dropped with the last piece.
    Pieces(Option<Piece>, Option<BoxStream<'static, Result<Piece, ReadError>>>),
    Failed(ReadError),
}

impl ByteStream {
    /// A stream of generated text.
    pub fn made(text: Bytes) -> Self {
        Self::ready(text, CacheState::Hit)
    }

    /// A stream of bytes in memory.
    pub(super) fn ready(bytes: Bytes, state: CacheState) -> Self {
        let remaining = bytes.len() as u64;
        Self { inner: Inner::Ready(Some(bytes).filter(|b| !b.is_empty())), remaining, state }
    }

    /// A stream of `range` of a cached blob.
    pub(super) fn blob(blob: Blob, range: ByteRange, options: &StreamOptions, state: CacheState) -> Self {
        let stream = BlobStream::new(blob, range, options);
        Self { inner: Inner::Blob(Box::new(stream)), remaining: range.len(), state }
    }

    /// A stream of `range` of a fill. Returns when the first piece is available.
    pub(super) async fn fill(
        depot: Depot,
        fill: Arc<Fill>,
        range: ByteRange,
        options: StreamOptions,
        state: CacheState,
        bypass: BoxFuture<'static, BypassReader>,
    ) -> Result<Self, ReadError> {
        let mut stream = FillStream::new(depot, fill, range, options, bypass);
        let first = stream.next().await?;
        let state = if stream.is_bypassed() { CacheState::Bypass } else { state };
        let rest = try_unfold(stream, |mut stream| async move {
            let bytes = stream.next().await?;
            Ok(bytes.map(|bytes| (bytes, stream)))
        });
        Ok(Self::pieces(first, rest.boxed(), range.len(), state))
    }

    /// A stream directly from the origin. Returns when the first piece is available.
    pub(super) async fn bypass(
        bypass: BoxFuture<'static, BypassReader>,
        remaining: u64,
        memory: Option<StreamMemory>,
    ) -> Result<Self, ReadError> {
        let mut rest = bypass_pieces(bypass, memory);
        let first = rest.next().await.transpose()?;
        Ok(Self::pieces(first, rest, remaining, CacheState::Bypass))
    }

    /// An empty range has no first piece, and ends at once.
    fn pieces(
        first: Option<Piece>,
        rest: BoxStream<'static, Result<Piece, ReadError>>,
        remaining: u64,
        state: CacheState,
    ) -> Self {
        let inner = match first {
            Some(first) => Inner::Pieces(Some(first), Some(rest)),
            None => Inner::Ready(None),
        };
        Self { inner, remaining, state }
    }

    /// How many bytes are still to come.
    pub fn remaining(&self) -> u64 {
        self.remaining
    }

    /// Where the bytes come from.
    pub fn cache_state(&self) -> CacheState {
        self.state
    }
}

/// The pieces of a stream directly from the origin.
fn bypass_pieces(
    bypass: BoxFuture<'static, BypassReader>,
    memory: Option<StreamMemory>,
) -> BoxStream<'static, Result<Piece, ReadError>> {
    let pieces = bypass.map(|reader| {
        try_unfold((Box::new(reader), memory), |(mut reader, memory)| async move {
            let bytes = reader.next().await?;
            Ok(bytes.map(|bytes| (Piece::Copied(charged(memory.as_ref(), bytes)), (reader, memory))))
        })
    });
    pieces.flatten_stream().boxed()
}

impl Stream for ByteStream {
    type Item = Result<Piece, ReadError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        let item = match &mut this.inner {
            Inner::Ready(bytes) => bytes.take().map(|bytes| Ok(bytes.into())),
            Inner::Failed(error) => Some(Err(error.clone())),
            Inner::Blob(blob) => match ready!(blob.poll_next(cx)) {
                Some(Err(error)) => match blob.bypass(&error) {
                    Some(bypass) => {
                        (this.inner, this.state) =
                            (Inner::Pieces(None, Some(bypass_pieces(bypass, blob.memory()))), CacheState::Bypass);
                        return self.poll_next(cx);
                    }
                    None => Some(Err(error)),
                },
                frame => frame,
            },
            Inner::Pieces(first, rest) => {
                let item = match (first.take(), rest.as_mut()) {
                    (Some(first), _) => Some(Ok(first)),
                    (None, Some(rest)) => ready!(rest.as_mut().poll_next(cx)),
                    (None, None) => None,
                };
                if item.as_ref().is_none_or(|item| item.as_ref().is_ok_and(|it| it.len() as u64 == this.remaining)) {
                    // Releases the fill or the permit before the last piece is sent.
                    *rest = None;
                }
                item
            }
        };
        match &item {
            Some(Ok(bytes)) => this.remaining -= bytes.len() as u64,
            Some(Err(error)) => this.inner = Inner::Failed(error.clone()),
            None => {}
        }
        Poll::Ready(item)
    }
}
