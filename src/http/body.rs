//! Response bodies: stream bytes of the depot to hyper without copying, and count what the socket accepted.

use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use futures_core::Stream;
use futures_util::stream::BoxStream;
use hyper::body::{Frame, SizeHint};

use crate::depot::{ByteStream, CacheState, Depot, Outcome, Piece, ReadError, Transfer};
use crate::memory::StreamMemory;
use crate::transport::{Client, CloseReason, ServerTurn};

/// A response body whose length is known from the start.
pub(super) struct Body {
    content: Content,
    /// Bytes that the client's window did not take yet.
    ready: Piece,
    /// How many bytes the client accepts. `None` until the response is complete; then all.
    memory: Option<StreamMemory>,
    /// Bytes still to be yielded.
    left: u64,
    /// Counts the bytes of a transfer; `None` for a body that is not one, such as an error text.
    counter: Option<Arc<TransferCounter>>,
    /// Suspends the client's idle timeout while the depot has no next chunk yet.
    server_turn: Option<ServerTurn>,
}

enum Content {
    Text(Bytes),
    Range(ByteStream),
    Parts(BoxStream<'static, Result<Piece, ReadError>>),
}

/// Counts the sent bytes of one transfer. Each chunk of the body holds a reference, so that the counter sees every byte that
/// the socket accepts. Its drop, with the last chunk, ends the transfer: complete if all bytes were sent, else with the
/// failure or the reason why the connection ended.
pub(super) struct TransferCounter {
    transfer: Option<Transfer>,
    /// Where the bytes come from. `None` for generated text.
    depot: Option<Depot>,
    client: Arc<Client>,
    length: u64,
    failure: OnceLock<ReadError>,
}

/// One chunk of a body. Only the system call that sends it reads the bytes (see [`crate::depot::Delivery::Mapped`]): hyper
/// queues chunks and passes them to a vectored write.
pub(super) struct BodyChunk {
    bytes: Piece,
    counter: Option<Arc<TransferCounter>>,
}

impl Body {
    /// An empty body.
    pub(super) fn empty() -> Self {
        Self::text(Bytes::new())
    }

    /// A short text.
    pub(super) fn text(text: impl Into<Bytes>) -> Self {
        let text = text.into();
        Self::new(text.len() as u64, Content::Text(text), None)
    }

    /// A text that was rendered for this client. Its drop ends the transfer.
    pub(super) fn rendered(text: Bytes, transfer: Transfer, client: &Arc<Client>) -> Self {
        Self::transfer(text.len() as u64, Content::Text(text), None, transfer, client)
    }

    /// One range of an asset. Its drop ends the transfer.
    pub(super) fn range(bytes: ByteStream, transfer: Transfer, depot: &Depot, client: &Arc<Client>) -> Self {
        let (length, state) = (bytes.remaining(), bytes.cache_state());
        Self::transfer(length, Content::Range(bytes), Some((state, depot)), transfer, client)
    }

    /// A multipart body with several ranges of an asset, `length` bytes in all. Its drop ends the transfer.
    pub(super) fn parts(
        bytes: BoxStream<'static, Result<Piece, ReadError>>,
        length: u64,
        state: CacheState,
        transfer: Transfer,
        depot: &Depot,
        client: &Arc<Client>,
    ) -> Self {
        Self::transfer(length, Content::Parts(bytes), Some((state, depot)), transfer, client)
    }

    fn transfer(
        length: u64,
        content: Content,
        from: Option<(CacheState, &Depot)>,
        mut transfer: Transfer,
        client: &Arc<Client>,
    ) -> Self {
        if let Some((state, _)) = from {
            transfer.set_cache(state);
        }
        let counter = TransferCounter {
            transfer: Some(transfer),
            depot: from.map(|(_, depot)| depot.clone()),
            client: Arc::clone(client),
            length,
            failure: OnceLock::new(),
        };
        Self::new(length, content, Some(Arc::new(counter)))
    }

    fn new(left: u64, content: Content, counter: Option<Arc<TransferCounter>>) -> Self {
        Self { content, ready: Piece::default(), memory: None, left, counter, server_turn: None }
    }

    /// Sends no more at a time than `client` accepts, and charges a text to its connection.
    pub(super) fn bind(&mut self, client: &Client) {
        if let Content::Text(text) = &mut self.content {
            *text = client.memory.charge(text.len()).attach(std::mem::take(text));
        }
        self.memory = Some(client.memory.clone());
    }

    /// The next bytes of the content. An empty content was checked before.
    fn poll_content(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Piece, ReadError>>> {
        match &mut self.content {
            Content::Text(text) => Poll::Ready(Some(Ok(std::mem::take(text).into()))),
            Content::Range(bytes) => Pin::new(bytes).poll_next(cx),
            Content::Parts(bytes) => bytes.as_mut().poll_next(cx),
        }
    }

    /// Cuts from the bytes that are ready as many as the client accepts. Empty if it accepts none.
    fn cut(&mut self) -> BodyChunk {
        let window = self.memory.as_ref().map_or(usize::MAX, StreamMemory::window);
        let bytes = self.ready.split_to(window.min(self.ready.len()));
        self.left = self.left.saturating_sub(bytes.len() as u64);
        BodyChunk { bytes, counter: self.counter.clone() }
    }
}

impl hyper::body::Body for Body {
    type Data = BodyChunk;
    type Error = ReadError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let this = &mut *self;
        if this.left == 0 {
            return Poll::Ready(None);
        }
        if !this.ready.is_empty() {
            return Poll::Ready(Some(Ok(Frame::data(this.cut()))));
        }
        match this.poll_content(cx) {
            Poll::Pending => {
                if let (None, Some(counter)) = (&this.server_turn, &this.counter) {
                    this.server_turn = Some(counter.client.begin_server_turn());
                }
                Poll::Pending
            }
            Poll::Ready(next) => {
                this.server_turn = None;
                let bytes = next.unwrap_or_else(|| Err(truncated()));
                Poll::Ready(Some(match bytes {
                    Ok(bytes) => {
                        this.ready = bytes;
                        Ok(Frame::data(this.cut()))
                    }
                    Err(error) => {
                        if let Some(counter) = &this.counter {
                            // Only the first failure of a body is kept.
                            let _ = counter.failure.set(error.clone());
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

/// The error of a stream that ended early without an error. The body must fail then, or the client would take what it has
/// received for the whole asset.
fn truncated() -> ReadError {
    ReadError::Disk("the stream ended before its last byte".to_owned())
}

impl Drop for TransferCounter {
    fn drop(&mut self) {
        let Some(transfer) = self.transfer.take() else { return };
        if transfer.sent() == self.length {
            transfer.finish(Outcome::Complete, None);
        } else if let Some(error) = self.failure.get() {
            transfer.finish(error.outcome(), Some(&error.to_string()));
        } else {
            let reason = self.client.close_reason();
            if let (CloseReason::Unreadable, Some(depot)) = (reason, &self.depot) {
                depot.report_unreadable(&transfer);
            }
            let (outcome, detail) = outcome_of(reason);
            transfer.finish(outcome, detail);
        }
    }
}

/// The outcome of a transfer that the end of its connection cut off, and the detail for its log line.
fn outcome_of(reason: CloseReason) -> (Outcome, Option<&'static str>) {
    match reason {
        CloseReason::Client => (Outcome::Aborted, None),
        CloseReason::IdleTimeout => (Outcome::Timeout, Some("the client read no bytes for the idle timeout")),
        CloseReason::Shutdown => (Outcome::Refused, Some("the server stopped and the grace period ended")),
        CloseReason::Unreadable => {
            (Outcome::OriginFailed, Some("the cache cannot be read: a page of a blob was lost while it was sent"))
        }
    }
}

impl Buf for BodyChunk {
    fn remaining(&self) -> usize {
        self.bytes.len()
    }

    /// hyper passes it to a vectored write and reads none of it: the connection of a plain socket sets `writev(true)`, which keeps
    /// chunks in a queue, and connections with TLS get copied bytes.
    fn chunk(&self) -> &[u8] {
        self.bytes.for_system_call()
    }

    fn advance(&mut self, count: usize) {
        self.bytes.advance(count);
        if let Some(transfer) = self.counter.as_ref().and_then(|counter| counter.transfer.as_ref()) {
            transfer.add_sent(count as u64);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn close_reason_decides_cut_off_outcome() {
        for (reason, outcome) in [
            (CloseReason::Client, Outcome::Aborted),
            (CloseReason::IdleTimeout, Outcome::Timeout),
            (CloseReason::Shutdown, Outcome::Refused),
            (CloseReason::Unreadable, Outcome::OriginFailed),
        ] {
            assert_eq!(outcome_of(reason).0, outcome);
        }
    }
}
