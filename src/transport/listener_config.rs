//! The configuration that the connections of one listener share, and the trait that answers their requests.

use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::{Request, Response};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::client::Client;

/// Answers the requests of a listener.
pub(crate) trait Handler: Send + Sync + 'static {
    /// The body of its responses.
    type Body: hyper::body::Body<Data: Send, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send + 'static;

    /// Answers one request. The idle timeout does not run while this is pending, so a handler that reads a request's body
    /// must limit the time itself.
    fn handle(
        &self,
        request: Request<Incoming>,
        client: &Arc<Client>,
    ) -> impl Future<Output = Response<Self::Body>> + Send;
}

/// The configuration that the connections of one listener share.
pub(crate) struct ListenerConfig<H> {
    pub(crate) handler: Arc<H>,
    /// `None` for a plain listener.
    pub(crate) tls: Option<TlsAcceptor>,
    /// Tracks all tasks, including the streams of HTTP/2 connections.
    pub(crate) tasks: TaskTracker,
    pub(crate) stop: CancellationToken,
    /// How long responses may go on after `stop`.
    pub(crate) grace: Duration,
    /// How long a connection may stay idle; see [`Client`].
    pub(crate) idle_timeout: Duration,
}
