//! One connection from its first byte to its last: negotiates HTTP/1 or HTTP/2, and closes the connection on idle timeout
//! or shutdown. It knows no routes.

use std::convert::Infallible;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use hyper::rt::{Read, Write};
use hyper::server::conn::http1;
use hyper::service::{HttpService, service_fn};
use hyper_util::rt::TokioIo;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tracing::debug;

use super::client::{Client, CloseReason};
use super::http2::Http2;
use super::lingering_close::lingering_close;
use super::listener_config::{Handler, ListenerConfig};
use super::progress_timer::ProgressTimer;
use super::refusal::Refusal;
use super::respond::respond;
use super::send_queue::unacknowledged;
use super::socket::Socket;
use super::tls::{self, HTTP2};
use crate::memory::PIECE;

/// The largest request head, in bytes. Boot clients send less than 2 KiB; common servers allow 8 KiB to 16 KiB.
const MAX_HEAD: usize = 16 << 10;

/// Bytes of a body that wait for a TLS socket. A plain socket takes mapped pages, which cost no memory.
const MAX_TLS_QUEUE: usize = 2 * PIECE;

/// Unsent bytes that may wait in a socket's send queue (`TCP_NOTSENT_LOWAT`). By default the queue grows to megabytes
/// (`net.ipv4.tcp_wmem`). Measured over loopback, this limit costs no throughput.
const MAX_UNSENT: usize = 512 << 10;

/// The limit for the connections of a server that has so many that each one's share of the memory budget is less.
const MIN_UNSENT: usize = 32 << 10;

/// How often in an idle timeout the progress of a client is looked at.
const CHECKS: u32 = 8;

/// How long an idle client has to receive the close (an HTTP/2 GOAWAY, a TLS alert) before the connection is dropped.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// Serves one client until it closes the connection, exceeds the idle timeout, or the server stops.
pub(super) async fn serve<H: Handler>(config: &Arc<ListenerConfig<H>>, stream: TcpStream, client: Arc<Client>) {
    // Nagle's algorithm, the kernel's default, would hold back the end of every small response until the client's next ACK.
    let _ = stream.set_nodelay(true);
    // The kernel may not support it: then the queue is larger.
    let max_unsent = config.memory.equal_share().clamp(MIN_UNSENT, MAX_UNSENT);
    let _ = SockRef::from(&stream).set_tcp_notsent_lowat(u32::try_from(max_unsent).unwrap_or(u32::MAX));
    let stream = Arc::new(stream);
    let Some(acceptor) = &config.tls else {
        let socket = Socket::new(Arc::clone(&stream), Arc::clone(&client), config.tasks.clone());
        return Box::pin(serve_http1(config, socket, &stream, client)).await;
    };
    // Boxed like all that follows, so that a connection keeps the memory of its current step alone.
    let accepting = Box::pin(async {
        let mut first = [0];
        if stream.peek(&mut first).await.is_ok_and(|read| read > 0) {
            client.set_first_byte(first[0]);
        }
        if tls::is_plain_http(client.first_byte()) {
            return Ok(None);
        }
        let socket = Socket::new(Arc::clone(&stream), Arc::clone(&client), config.tasks.clone());
        acceptor.accept(socket).await.map(|secure| Some(Box::new(secure)))
    });
    let accepting = tokio::time::timeout(config.limits.idle_timeout, accepting);
    match config.stop.run_until_cancelled(accepting).await {
        Some(Ok(Ok(Some(mut secure)))) => {
            let (_, session) = secure.get_mut();
            session.set_buffer_limit(Some(client.account().allowance().clamp(tls::MIN_BUFFER, tls::MAX_BUFFER)));
            if session.alpn_protocol() == Some(HTTP2) {
                Box::pin(serve_http2(config, secure, &stream, client)).await;
            } else {
                Box::pin(serve_http1(config, secure, &stream, client)).await;
            }
        }
        Some(Ok(Ok(None))) => {
            let id = config.refusals.record(Refusal::PlainOnTlsPort, &client, &"the client sent no TLS handshake");
            // The send buffer of a new socket has room for the whole response. If the write fails, the client is gone.
            let _ = stream.try_write(tls::plain_http_response(id).as_bytes());
            lingering_close(stream).await;
        }
        // A client that left before its first byte: a port scan, or a health check of a load balancer.
        Some(Ok(Err(error))) if client.first_byte() == 0 => {
            debug!(client = %client.peer, %error, "TLS handshake not begun");
        }
        Some(Ok(Err(error))) => {
            config.refusals.record(Refusal::TlsHandshake, &client, &error);
        }
        Some(Err(_)) => debug!(client = %client.peer, "TLS handshake timed out"),
        None => {}
    }
}

async fn serve_http1<H: Handler>(
    config: &ListenerConfig<H>,
    stream: impl AsyncRead + AsyncWrite + Unpin + 'static,
    socket: &TcpStream,
    client: Arc<Client>,
) {
    let mut builder = http1::Builder::new();
    builder
        // GRUB expects `Content-Length: ` in exactly this case.
        .title_case_headers(true)
        // Body chunks are queued and never flattened into a buffer, so that only the system call reads mapped pages.
        .writev(true)
        // A client may shut down its sending side after its request, and still wants the response.
        .half_close(true)
        // The idle timeout covers the whole connection; see `Client`.
        .header_read_timeout(None)
        // `respond` adds it, unless the clock is impossible.
        .auto_date_header(false)
        .max_header_size(MAX_HEAD);
    if client.secure {
        builder.max_buf_size(MAX_TLS_QUEUE);
    }
    let answer = |request: hyper::Request<hyper::body::Incoming>| {
        let client = &client;
        // Boxed, so that an idle connection keeps none of it.
        Box::pin(async move { Ok::<_, Infallible>(respond(config, request.map(Into::into), client).await) })
    };
    let connection = builder.serve_connection(TokioIo::new(stream), service_fn(answer));
    let Err(error) = drive(config, connection, socket, &client).await else { return };
    if error.is_parse() || error.is_parse_too_large() {
        let refusal = match () {
            () if tls::is_handshake(client.first_byte()) => Refusal::TlsOnPlainPort,
            () if error.is_parse_too_large() => Refusal::HeadTooLarge,
            () => Refusal::BadRequest,
        };
        config.refusals.record(refusal, &client, &error);
    } else {
        debug!(client = %client.peer, %error, "connection ended early");
    }
}

async fn serve_http2<H: Handler>(
    config: &Arc<ListenerConfig<H>>,
    stream: impl AsyncRead + AsyncWrite + Unpin + 'static,
    socket: &TcpStream,
    client: Arc<Client>,
) {
    let accepting = Http2::accept(config, stream, &client, MAX_HEAD);
    let accepting = tokio::time::timeout(config.limits.idle_timeout, accepting);
    let result = match config.stop.run_until_cancelled(accepting).await {
        Some(Ok(Ok(connection))) => drive(config, connection, socket, &client).await,
        Some(Ok(Err(error))) => Err(error),
        Some(Err(_)) | None => return,
    };
    match result {
        Err(error) if error.is_go_away() && !error.is_remote() => {
            config.refusals.record(Refusal::BadRequest, &client, &error);
        }
        Err(error) => debug!(client = %client.peer, %error, "connection ended early"),
        Ok(()) => {}
    }
}

/// A connection that can be shut down after its running requests.
trait Graceful: Future {
    /// Whether bytes on the socket may be other than those of responses: HTTP/2 has control frames.
    const HAS_CONTROL_FRAMES: bool;

    fn shut_down(self: Pin<&mut Self>);
}

impl<I, B, S> Graceful for http1::Connection<I, S>
where
    S: HttpService<hyper::body::Incoming, ResBody = B>,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    I: Read + Write + Unpin,
    B: hyper::body::Body + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    const HAS_CONTROL_FRAMES: bool = false;

    fn shut_down(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

impl<H: Handler, T: AsyncRead + AsyncWrite + Unpin> Graceful for Http2<H, T> {
    const HAS_CONTROL_FRAMES: bool = true;

    fn shut_down(self: Pin<&mut Self>) {
        Http2::shut_down(self);
    }
}

/// Runs a connection to its end, and ends it itself on idle timeout and shutdown.
async fn drive<H, C, E>(config: &ListenerConfig<H>, connection: C, socket: &TcpStream, client: &Client) -> Result<(), E>
where
    C: Graceful<Output = Result<(), E>>,
{
    let mut connection = pin!(connection);
    // A child token: waiting on the shared token would make every wake-up of every connection take the same lock.
    let stop = config.stop.child_token();
    let mut stopped = pin!(stop.cancelled());
    let interval = config.limits.idle_timeout / CHECKS;
    let mut progress = Progress::new(config, client, C::HAS_CONTROL_FRAMES);
    let mut timer = pin!(tokio::time::sleep(interval));
    let mut drop_at: Option<Instant> = None;
    let mut stopping = false;
    loop {
        tokio::select! {
            biased;
            result = connection.as_mut() => return result,
            () = timer.as_mut() => {
                let now = Instant::now();
                if drop_at.is_some_and(|at| at <= now) {
                    return Ok(());
                }
                if !progress.check(socket, now) && client.close_reason() != CloseReason::IdleTimeout {
                    client.set_close_reason(CloseReason::IdleTimeout);
                    connection.as_mut().shut_down();
                    let at = now + CLOSE_TIMEOUT;
                    drop_at = Some(drop_at.map_or(at, |earlier| earlier.min(at)));
                }
                let next_check = if progress.timer.is_expired(now) {
                    now + CLOSE_TIMEOUT
                } else {
                    progress.timer.deadline().min(now + interval)
                };
                timer.as_mut().reset(drop_at.map_or(next_check, |at| at.min(next_check)));
            }
            () = stopped.as_mut(), if !stopping => {
                stopping = true;
                client.set_close_reason(CloseReason::Shutdown);
                connection.as_mut().shut_down();
                let at = Instant::now() + config.grace;
                drop_at = Some(drop_at.map_or(at, |earlier| earlier.min(at)));
                if at < timer.deadline() {
                    timer.as_mut().reset(at);
                }
            }
        }
    }
}

/// The progress of one connection's peer.
struct Progress<'a> {
    client: &'a Client,
    has_control_frames: bool,
    timer: ProgressTimer,
    /// Bytes that the peer has taken, at the last check.
    taken: u64,
    /// The end of the server's last turn that was seen.
    turn_ended: Instant,
}

impl<'a> Progress<'a> {
    fn new<H>(config: &ListenerConfig<H>, client: &'a Client, has_control_frames: bool) -> Self {
        let timer = ProgressTimer::new(config.limits, Instant::now());
        Self { client, has_control_frames, timer, taken: 0, turn_ended: client.turn_ended() }
    }

    /// Looks at what the peer has taken since the last check. Returns `false` if it is to be given up.
    fn check(&mut self, socket: &TcpStream, now: Instant) -> bool {
        let queued = unacknowledged(socket);
        let written = if self.has_control_frames { self.client.body_bytes() } else { self.client.socket_bytes() };
        // Bytes in the socket's buffer are no progress.
        let taken = written.saturating_sub(queued).saturating_sub(self.taken);
        self.taken += taken;
        let turn_ended = self.client.turn_ended();
        if self.client.is_server_turn() {
            self.timer.restart(now);
        } else if turn_ended > self.turn_ended {
            self.timer.restart(turn_ended);
        } else if taken > 0 && queued == 0 && !self.has_control_frames {
            // It has taken all that there was, however little that is.
            self.timer.restart(now);
        } else {
            self.timer.credit(taken, now);
        }
        self.turn_ended = turn_ended;
        !self.timer.is_expired(now)
    }
}
