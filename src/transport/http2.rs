//! One HTTP/2 connection (RFC 9113). A body is read only as far as the peer's flow-control windows let it go, and each stream
//! has to make progress. It knows no routes.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Buf;
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use hyper::body::Body;
use hyper::header::CONTENT_LENGTH;
use hyper::{Request, Response};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, timeout_at};

use super::client::{Client, CloseReason};
use super::listener_config::{Handler, ListenerConfig, RequestBody};
use super::progress_timer::ProgressTimer;
use super::respond::respond;
use crate::memory::PIECE;

/// Concurrent streams of one client. No installer opens more, and each may hold a reader open.
const MAX_STREAMS: u32 = 64;

/// Bytes of one stream that may wait for the socket. Some pieces, so that the next is read while one is sent.
const MAX_SEND_BUFFER: usize = 4 * PIECE;

/// Streams that the peer reset while they waited to be accepted, and those that the server reset after errors of the peer;
/// more end the connection (CVE-2023-44487 and CVE-2025-8671). A browser that is closed resets as many streams as it has.
const MAX_RESETS: usize = MAX_STREAMS as usize;

/// How long a reset stream is remembered, for frames of the peer that cross the reset.
const RESET_MEMORY: Duration = Duration::from_secs(1);

/// One connection.
pub(super) struct Http2<H: Handler, T> {
    config: Arc<ListenerConfig<H>>,
    client: Arc<Client>,
    connection: h2::server::Connection<T, Counted<<H::Body as Body>::Data>>,
}

/// Bytes of a body, which are counted when the socket takes them.
pub(super) struct Counted<D> {
    bytes: D,
    client: Arc<Client>,
}

impl<H: Handler, T: AsyncRead + AsyncWrite + Unpin> Http2<H, T> {
    /// Exchanges the prefaces of the connection.
    pub(super) async fn accept(
        config: &Arc<ListenerConfig<H>>,
        stream: T,
        client: &Arc<Client>,
        max_head: usize,
    ) -> Result<Self, h2::Error> {
        let connection = h2::server::Builder::new()
            .max_concurrent_streams(MAX_STREAMS)
            .max_header_list_size(u32::try_from(max_head).unwrap_or(u32::MAX))
            .max_send_buffer_size(MAX_SEND_BUFFER)
            .max_pending_accept_reset_streams(MAX_RESETS)
            .max_local_error_reset_streams(Some(MAX_RESETS))
            .max_concurrent_reset_streams(MAX_RESETS)
            .reset_stream_duration(RESET_MEMORY)
            .handshake(stream)
            .await?;
        Ok(Self { config: Arc::clone(config), client: Arc::clone(client), connection })
    }

    /// Accepts no more streams; the connection ends after the last.
    pub(super) fn shut_down(self: Pin<&mut Self>) {
        self.get_mut().connection.graceful_shutdown();
    }
}

impl<H: Handler, T: AsyncRead + AsyncWrite + Unpin> Future for Http2<H, T> {
    type Output = Result<(), h2::Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            match ready!(self.connection.poll_accept(cx)) {
                None => return Poll::Ready(Ok(())),
                Some(Err(error)) => return Poll::Ready(Err(error)),
                Some(Ok((request, reply))) => {
                    let (config, client) = (Arc::clone(&self.config), self.client.stream());
                    // Tracked, so that shutdown waits for it.
                    self.config.tasks.spawn(async move { serve_stream(&config, request, reply, client).await });
                }
            }
        }
    }
}

// No field is pinned.
impl<H: Handler, T> Unpin for Http2<H, T> {}

/// Answers one request.
async fn serve_stream<H: Handler>(
    config: &ListenerConfig<H>,
    request: Request<RecvStream>,
    mut reply: SendResponse<Counted<<H::Body as Body>::Data>>,
    client: Arc<Client>,
) {
    // Bodies of requests are not read over HTTP/2: the listeners that use it serve only GET and HEAD.
    let request = request.map(|_unread| RequestBody::none());
    let response = {
        // Boxed, so that the task of a long body keeps none of it.
        let mut answer = Box::pin(respond(config, request, &client));
        let answered = poll_fn(|cx| match answer.as_mut().poll(cx) {
            Poll::Ready(response) => Poll::Ready(Some(response)),
            Poll::Pending => reply.poll_reset(cx).map(|_| None),
        });
        let Some(response) = answered.await else { return };
        response
    };
    let (head, body) = response.into_parts();
    let mut head = Response::from_parts(head, ());
    let ends = body.is_end_stream();
    if let (false, Some(length)) = (ends, body.size_hint().exact()) {
        head.headers_mut().entry(CONTENT_LENGTH).or_insert(length.into());
    }
    if let Ok(stream) = reply.send_response(head, ends)
        && !ends
    {
        send_body(config, Box::pin(body), stream, client).await;
    }
}

/// Sends a body to its end. The stream is reset if the body fails or the peer makes no progress.
async fn send_body<H: Handler>(
    config: &ListenerConfig<H>,
    mut body: Pin<Box<H::Body>>,
    mut stream: SendStream<Counted<<H::Body as Body>::Data>>,
    client: Arc<Client>,
) {
    let mut timer = ProgressTimer::new(config.limits, Instant::now());
    loop {
        stream.reserve_capacity(PIECE);
        match timeout_at(timer.deadline(), window(&mut stream)).await {
            Ok(Some(window)) => client.memory.set_window(window),
            Ok(None) => return,
            Err(_) => {
                client.set_stream_close_reason(CloseReason::IdleTimeout);
                // ENHANCE_YOUR_CALM and the like blame the peer for a flood; this one only stopped reading.
                return stream.send_reset(Reason::CANCEL);
            }
        }
        let Some(frame) = next_frame(body.as_mut(), &mut stream, &client, &mut timer).await else { return };
        match frame {
            Some(Ok(frame)) => {
                let Ok(bytes) = frame.into_data() else { continue };
                let (length, ends) = (bytes.remaining(), body.is_end_stream());
                timer.credit(length as u64, Instant::now());
                let bytes = Counted { bytes, client: Arc::clone(&client) };
                let failed = (length > 0 || ends) && stream.send_data(bytes, ends).is_err();
                if failed || ends {
                    return;
                }
            }
            Some(Err(_)) => return stream.send_reset(Reason::INTERNAL_ERROR),
            // A body without a length ended.
            None => {
                // An empty last frame needs no bytes of a body, and there is no type for it but a trailer without fields.
                let _ = stream.send_trailers(http::HeaderMap::new());
                return;
            }
        }
    }
}

/// How many bytes the peer accepts now, at least one; `None` if the stream has ended.
async fn window<D: Buf>(stream: &mut SendStream<D>) -> Option<usize> {
    loop {
        match stream.capacity() {
            0 => match poll_fn(|cx| stream.poll_capacity(cx)).await {
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return None,
            },
            window => return Some(window),
        }
    }
}

type NextFrame<B> = Option<Result<hyper::body::Frame<<B as Body>::Data>, <B as Body>::Error>>;

/// The next frame of the body; `None` if the peer reset the stream first.
///
/// A body that has none yet returns what it holds of the connection's window, so that other streams can use it. An empty
/// frame then says that there is more.
async fn next_frame<B: Body>(
    mut body: Pin<&mut B>,
    stream: &mut SendStream<Counted<B::Data>>,
    client: &Client,
    timer: &mut ProgressTimer,
) -> Option<NextFrame<B>> {
    let mut has_waited = false;
    let frame = poll_fn(|cx| {
        if let Poll::Ready(frame) = body.as_mut().poll_frame(cx) {
            return Poll::Ready(Some(frame));
        }
        if !has_waited {
            has_waited = true;
            client.memory.set_window(0);
            stream.reserve_capacity(0);
        }
        stream.poll_reset(cx).map(|_| None)
    })
    .await;
    if has_waited {
        timer.restart(Instant::now());
    }
    frame
}

impl<D: Buf> Buf for Counted<D> {
    fn remaining(&self) -> usize {
        self.bytes.remaining()
    }

    fn chunk(&self) -> &[u8] {
        self.bytes.chunk()
    }

    fn chunks_vectored<'a>(&'a self, pieces: &mut [std::io::IoSlice<'a>]) -> usize {
        self.bytes.chunks_vectored(pieces)
    }

    fn advance(&mut self, count: usize) {
        self.bytes.advance(count);
        self.client.wrote_body(count);
    }
}
