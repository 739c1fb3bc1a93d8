//! One connection from its first byte to its last: negotiates HTTP/1 or HTTP/2, and closes the connection on idle timeout
//! or shutdown. It knows no routes.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::rt::Executor;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use hyper_util::server::graceful::GracefulConnection;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;
use tracing::debug;

use super::client::{Client, CloseReason};
use super::listener_config::{Handler, ListenerConfig};
use super::socket::Socket;
use super::tls::HTTP2;

/// The largest request head, in bytes. Boot clients send less than 2 KiB; common servers allow 8 KiB to 16 KiB.
const MAX_HEAD: usize = 16 << 10;

/// Concurrent HTTP/2 streams of one client. No installer opens more, and each may hold a reader open.
const MAX_STREAMS: u32 = 64;

/// Unsent bytes that may wait in a socket's send queue (`TCP_NOTSENT_LOWAT`). By default the queue grows to megabytes
/// (`net.ipv4.tcp_wmem`) and becomes writable again when a third is sent, so that a client that reads some 20 KB a second
/// would exceed the idle timeout. With this limit it becomes writable after a quarter of a megabyte; measured over
/// loopback, that costs no throughput.
const MAX_UNSENT: u32 = 512 << 10;

/// How long an idle client has to receive the close (an HTTP/2 GOAWAY, a TLS alert) before the connection is dropped.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// Serves one client until it closes the connection, exceeds the idle timeout, or the server stops.
pub(super) async fn serve<H: Handler>(config: &ListenerConfig<H>, stream: TcpStream, client: Arc<Client>) {
    // Nagle's algorithm, the kernel's default, would hold back the end of every small response until the client's next ACK.
    let _ = stream.set_nodelay(true);
    // If the kernel does not support it, a slow client merely reaches the idle timeout sooner.
    let _ = SockRef::from(&stream).set_tcp_notsent_lowat(MAX_UNSENT);
    let socket = Socket::new(stream, Arc::clone(&client), config.tasks.clone());
    let Some(tls) = &config.tls else {
        return serve_http1(config, socket, client).await;
    };
    let handshake = tokio::time::timeout(config.idle_timeout, tls.accept(socket));
    match config.stop.run_until_cancelled(handshake).await {
        Some(Ok(Ok(stream))) => {
            if stream.get_ref().1.alpn_protocol() == Some(HTTP2) {
                serve_http2(config, stream, client).await;
            } else {
                serve_http1(config, stream, client).await;
            }
        }
        Some(Ok(Err(error))) => debug!(client = %client.peer, %error, "TLS handshake failed"),
        Some(Err(_)) => debug!(client = %client.peer, "TLS handshake timed out"),
        None => {}
    }
}

async fn serve_http1<H: Handler>(
    config: &ListenerConfig<H>,
    stream: impl AsyncRead + AsyncWrite + Unpin + 'static,
    client: Arc<Client>,
) {
    let connection = http1::Builder::new()
        // GRUB expects `Content-Length: ` in exactly this case.
        .title_case_headers(true)
        // Body chunks are queued and never flattened into a buffer, so that only the system call reads mapped pages.
        .writev(true)
        // The idle timeout covers the whole connection; see `Client`.
        .header_read_timeout(None)
        .max_header_size(MAX_HEAD)
        .serve_connection(
            TokioIo::new(stream),
            service_fn(|request| answer(Arc::clone(&config.handler), request, Arc::clone(&client))),
        );
    drive(config, connection, &client).await;
}

async fn serve_http2<H: Handler>(
    config: &ListenerConfig<H>,
    stream: impl AsyncRead + AsyncWrite + Unpin + 'static,
    client: Arc<Client>,
) {
    // Each stream runs as a task of its own, which must own all that it uses.
    let (handler, stream_client) = (Arc::clone(&config.handler), Arc::clone(&client));
    let connection = http2::Builder::new(TrackedExecutor(config.tasks.clone()))
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(u32::try_from(MAX_HEAD).unwrap_or(u32::MAX))
        .serve_connection(
            TokioIo::new(stream),
            service_fn(move |request| answer(Arc::clone(&handler), request, Arc::clone(&stream_client))),
        );
    drive(config, connection, &client).await;
}

/// Runs a connection to its end, and ends it itself on idle timeout and shutdown.
async fn drive<H, C>(config: &ListenerConfig<H>, connection: C, client: &Client)
where
    C: GracefulConnection<Error = hyper::Error>,
{
    let mut connection = pin!(connection);
    // A child token: waiting on the shared token would make every wake-up of every connection take the same lock.
    let stop = config.stop.child_token();
    let mut stopped = pin!(stop.cancelled());
    let mut timer = pin!(tokio::time::sleep(config.idle_timeout));
    let mut drop_at: Option<Instant> = None;
    let mut stopping = false;
    loop {
        tokio::select! {
            biased;
            result = connection.as_mut() => {
                if let Err(error) = result {
                    debug!(client = %client.peer, %error, "connection ended early");
                }
                return;
            }
            () = timer.as_mut() => {
                let now = Instant::now();
                if drop_at.is_some_and(|at| at <= now) {
                    return;
                }
                let next_check = client.idle_deadline(now).unwrap_or_else(|| {
                    client.set_close_reason(CloseReason::IdleTimeout);
                    connection.as_mut().graceful_shutdown();
                    let at = now + CLOSE_TIMEOUT;
                    drop_at = Some(drop_at.map_or(at, |earlier| earlier.min(at)));
                    at
                });
                timer.as_mut().reset(drop_at.map_or(next_check, |at| at.min(next_check)));
            }
            () = stopped.as_mut(), if !stopping => {
                stopping = true;
                client.set_close_reason(CloseReason::Shutdown);
                connection.as_mut().graceful_shutdown();
                let at = Instant::now() + config.grace;
                drop_at = Some(drop_at.map_or(at, |earlier| earlier.min(at)));
                if at < timer.deadline() {
                    timer.as_mut().reset(at);
                }
            }
        }
    }
}

async fn answer<H: Handler>(
    handler: Arc<H>,
    request: Request<Incoming>,
    client: Arc<Client>,
) -> Result<Response<H::Body>, Infallible> {
    let turn = client.begin_server_turn();
    let response = handler.handle(request, &client).await;
    drop(turn);
    Ok(response)
}

/// Spawns the streams of HTTP/2 connections as tracked tasks, so that shutdown waits for them.
#[derive(Clone)]
struct TrackedExecutor(TaskTracker);

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for TrackedExecutor {
    fn execute(&self, future: F) {
        self.0.spawn(future);
    }
}
