//! One connection from its first byte to its last: which HTTP it speaks, and when it is over. It knows no routes.

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
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::debug;

use super::client::{Client, End};
use super::socket::Socket;
use super::tls::HTTP2;

/// The largest request head, in bytes. What clients send is below 2 KiB; common servers allow 8 KiB to 16 KiB.
const MAX_HEAD: usize = 16 << 10;

/// HTTP/2 streams of one client at a time: no installer asks for more, and each may hold a reader open.
const MAX_STREAMS: u32 = 64;

/// Bytes that may wait in a socket's queue without being on their way. The kernel's own queue grows to megabytes
/// (`net.ipv4.tcp_wmem`) and asks for more when a third of them is gone: a client that takes some 20 KB a second would
/// pass for a silent one. With this it asks after a quarter of a megabyte; over loopback that cost no throughput.
const UNSENT: u32 = 512 << 10;

/// How long a silent client has to take the farewell before it is cut off.
const FAREWELL: Duration = Duration::from_secs(1);

/// What answers the requests of a listener.
pub(crate) trait Handler: Send + Sync + 'static {
    /// The content of its answers.
    type Body: hyper::body::Body<Data: Send, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send + 'static;

    /// Answers one request. A client is not silent while that takes: who reads a request's content limits the time.
    fn handle(
        &self,
        request: Request<Incoming>,
        client: &Arc<Client>,
    ) -> impl Future<Output = Response<Self::Body>> + Send;
}

/// What the connections of a listener have in common.
pub(crate) struct Conduct<H> {
    pub(crate) handler: Arc<H>,
    pub(crate) tls: Option<TlsAcceptor>,
    /// All tasks, the streams of HTTP/2 connections included.
    pub(crate) tasks: TaskTracker,
    pub(crate) stop: CancellationToken,
    /// How long transfers may go on after `stop`.
    pub(crate) grace: Duration,
    /// How long a client may be silent.
    pub(crate) patience: Duration,
}

impl<H: Handler> Conduct<H> {
    /// Serves one client until it leaves, falls silent, or the server stops.
    pub(super) async fn serve(&self, stream: TcpStream, client: Arc<Client>) {
        // The kernel's own default (Nagle) would hold back the end of every small answer until the client's next ACK.
        let _ = stream.set_nodelay(true);
        // Where it is not to be had, only a slow client's patience is shorter.
        let _ = SockRef::from(&stream).set_tcp_notsent_lowat(UNSENT);
        let socket = Socket::new(stream, Arc::clone(&client), self.tasks.clone());
        let Some(tls) = &self.tls else {
            return self.http1(socket, client).await;
        };
        let handshake = tokio::time::timeout(self.patience, tls.accept(socket));
        match self.stop.run_until_cancelled(handshake).await {
            Some(Ok(Ok(stream))) => {
                if stream.get_ref().1.alpn_protocol() == Some(HTTP2) {
                    self.http2(stream, client).await;
                } else {
                    self.http1(stream, client).await;
                }
            }
            Some(Ok(Err(error))) => debug!(peer = %client.peer, %error, "TLS handshake failed"),
            Some(Err(_)) => debug!(peer = %client.peer, "TLS handshake timed out"),
            None => {}
        }
    }

    async fn http1(&self, stream: impl AsyncRead + AsyncWrite + Unpin + 'static, client: Arc<Client>) {
        let connection = http1::Builder::new()
            // GRUB looks for `Content-Length: ` in just this case.
            .title_case_headers(true)
            // Pieces are queued and never flattened into a buffer, so nothing but the system call reads mapped pages.
            .writev(true)
            // The client's silence is watched over as a whole; see `Client`.
            .header_read_timeout(None)
            .max_header_size(MAX_HEAD)
            .serve_connection(TokioIo::new(stream), service_fn(|request| self.answer(request, Arc::clone(&client))));
        self.drive(connection, &client).await;
    }

    async fn http2(&self, stream: impl AsyncRead + AsyncWrite + Unpin + 'static, client: Arc<Client>) {
        // Streams run as tasks of their own, which borrow nothing.
        let (handler, asking) = (Arc::clone(&self.handler), Arc::clone(&client));
        let connection = http2::Builder::new(Tracked(self.tasks.clone()))
            .max_concurrent_streams(MAX_STREAMS)
            .max_header_list_size(u32::try_from(MAX_HEAD).unwrap_or(u32::MAX))
            .serve_connection(
                TokioIo::new(stream),
                service_fn(move |request| answer(Arc::clone(&handler), request, Arc::clone(&asking))),
            );
        self.drive(connection, &client).await;
    }

    fn answer(
        &self,
        request: Request<Incoming>,
        client: Arc<Client>,
    ) -> impl Future<Output = Result<Response<H::Body>, Infallible>> + use<H> {
        answer(Arc::clone(&self.handler), request, client)
    }

    /// Runs a connection, watching over the client's silence and the server's end.
    async fn drive<C>(&self, connection: C, client: &Client)
    where
        C: GracefulConnection<Error = hyper::Error>,
    {
        let mut connection = pin!(connection);
        // A token of its own: waiting on the shared one would make every wake-up of every connection take one lock.
        let stop = self.stop.child_token();
        let mut stopped = pin!(stop.cancelled());
        let mut timer = pin!(tokio::time::sleep(self.patience));
        let mut cut: Option<Instant> = None;
        let mut stopping = false;
        loop {
            tokio::select! {
                biased;
                result = connection.as_mut() => {
                    if let Err(error) = result {
                        debug!(peer = %client.peer, %error, "connection ended early");
                    }
                    return;
                }
                () = timer.as_mut() => {
                    let now = Instant::now();
                    if cut.is_some_and(|at| at <= now) {
                        return;
                    }
                    let silent_at = client.silent_at(now).unwrap_or_else(|| {
                        client.end(End::Silence);
                        connection.as_mut().graceful_shutdown();
                        let farewell = now + FAREWELL;
                        cut = Some(cut.map_or(farewell, |at| at.min(farewell)));
                        farewell
                    });
                    timer.as_mut().reset(cut.map_or(silent_at, |at| at.min(silent_at)));
                }
                () = stopped.as_mut(), if !stopping => {
                    stopping = true;
                    client.end(End::Stop);
                    connection.as_mut().graceful_shutdown();
                    let at = Instant::now() + self.grace;
                    cut = Some(cut.map_or(at, |earlier| earlier.min(at)));
                    if at < timer.deadline() {
                        timer.as_mut().reset(at);
                    }
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
    let owed = client.owe();
    let response = handler.handle(request, &client).await;
    drop(owed);
    Ok(response)
}

/// Spawns HTTP/2's streams so that stopping can wait for them.
#[derive(Clone)]
struct Tracked(TaskTracker);

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Tracked {
    fn execute(&self, future: F) {
        self.0.spawn(future);
    }
}
