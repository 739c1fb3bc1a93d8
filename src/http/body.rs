//! Response bodies: bytes of the depot on their way to hyper, uncopied, and the count of what the socket took of them.

use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use futures_core::Stream;
use futures_util::stream::BoxStream;
use hyper::body::{Frame, SizeHint};

use super::client::{Client, Owed};
use crate::depot::{ByteStream, CacheState, Outcome, ReadError, Transfer};

/// A response's content, of a length that is known from the start.
pub(super) struct Body {
    content: Content,
    /// Bytes still to be yielded.
    left: u64,
    /// The transfer that it is the content of; texts are none.
    tally: Option<Arc<Tally>>,
    /// Held while the depot is asked for the next piece.
    owed: Option<Owed>,
}

enum Content {
    Text(Bytes),
    Range(ByteStream),
    Parts(BoxStream<'static, Result<Bytes, ReadError>>),
}

/// One transfer's count. Every piece of the body holds on to it, so that it sees each byte that the socket takes, and
/// ends the transfer when the last piece is gone: complete if all bytes went out, else as what came between.
pub(super) struct Tally {
    transfer: Option<Transfer>,
    client: Arc<Client>,
    length: u64,
    failure: OnceLock<ReadError>,
}

/// One piece of a body. Only the system call that sends it reads the bytes (see [`crate::depot::Delivery::Mapped`]):
/// hyper queues pieces and hands them to a vectored write.
pub(super) struct Piece {
    bytes: Bytes,
    tally: Option<Arc<Tally>>,
}

impl Body {
    /// No content.
    pub(super) fn empty() -> Self {
        Self::text(Bytes::new())
    }

    /// A short text.
    pub(super) fn text(text: impl Into<Bytes>) -> Self {
        let text = text.into();
        Self { left: text.len() as u64, content: Content::Text(text), tally: None, owed: None }
    }

    /// A text that was made for this client; its end ends the transfer.
    pub(super) fn made(text: Bytes, transfer: Transfer, client: &Arc<Client>) -> Self {
        Self::transfer(text.len() as u64, Content::Text(text), None, transfer, client)
    }

    /// One range of an asset; its end ends the transfer.
    pub(super) fn range(bytes: ByteStream, transfer: Transfer, client: &Arc<Client>) -> Self {
        let (length, state) = (bytes.remaining(), bytes.cache_state());
        Self::transfer(length, Content::Range(bytes), Some(state), transfer, client)
    }

    /// Several ranges of an asset with what stands between them, `length` bytes in all; its end ends the transfer.
    pub(super) fn parts(
        bytes: BoxStream<'static, Result<Bytes, ReadError>>,
        length: u64,
        state: CacheState,
        transfer: Transfer,
        client: &Arc<Client>,
    ) -> Self {
        Self::transfer(length, Content::Parts(bytes), Some(state), transfer, client)
    }

    fn transfer(
        length: u64,
        content: Content,
        state: Option<CacheState>,
        mut transfer: Transfer,
        client: &Arc<Client>,
    ) -> Self {
        if let Some(state) = state {
            transfer.set_cache(state);
        }
        let tally = Tally { transfer: Some(transfer), client: Arc::clone(client), length, failure: OnceLock::new() };
        Self { content, left: length, tally: Some(Arc::new(tally)), owed: None }
    }
}

impl hyper::body::Body for Body {
    type Data = Piece;
    type Error = ReadError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let this = &mut *self;
        if this.left == 0 {
            return Poll::Ready(None);
        }
        let next = match &mut this.content {
            Content::Text(text) => Poll::Ready(Some(Ok(std::mem::take(text)))),
            Content::Range(bytes) => Pin::new(bytes).poll_next(cx),
            Content::Parts(bytes) => bytes.as_mut().poll_next(cx),
        };
        match next {
            Poll::Pending => {
                if let (None, Some(tally)) = (&this.owed, &this.tally) {
                    this.owed = Some(tally.client.owe());
                }
                Poll::Pending
            }
            Poll::Ready(next) => {
                this.owed = None;
                let bytes = next.unwrap_or_else(|| Err(short()));
                Poll::Ready(Some(match bytes {
                    Ok(bytes) => {
                        this.left = this.left.saturating_sub(bytes.len() as u64);
                        Ok(Frame::data(Piece { bytes, tally: this.tally.clone() }))
                    }
                    Err(error) => {
                        if let Some(tally) = &this.tally {
                            // A second failure of one body would say no more than the first.
                            let _ = tally.failure.set(error.clone());
                        }
                        Err(error)
                    }
                }))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

/// The depot ended a stream without an error before its last byte: whatever the reason, the client must not take what
/// it got for the whole.
fn short() -> ReadError {
    ReadError::Disk("the stream ended before its last byte".to_owned())
}

impl Drop for Tally {
    fn drop(&mut self) {
        let Some(transfer) = self.transfer.take() else { return };
        if transfer.sent() == self.length {
            transfer.finish(Outcome::Complete, None);
        } else if let Some(error) = self.failure.get() {
            transfer.finish(error.outcome(), Some(&error.to_string()));
        } else {
            let (outcome, detail) = self.client.verdict();
            transfer.finish(outcome, detail);
        }
    }
}

impl Buf for Piece {
    fn remaining(&self) -> usize {
        self.bytes.len()
    }

    fn chunk(&self) -> &[u8] {
        &self.bytes
    }

    fn advance(&mut self, count: usize) {
        self.bytes.advance(count);
        if let Some(transfer) = self.tally.as_ref().and_then(|tally| tally.transfer.as_ref()) {
            transfer.add_sent(count as u64);
        }
    }
}
