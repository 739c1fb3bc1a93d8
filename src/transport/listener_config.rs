//! The configuration that the connections of one listener share, and the trait that answers their requests.

use std::sync::Arc;
use std::time::Duration;

use http::request::Parts;
use hyper::{Request, Response, StatusCode};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::client::Client;
use super::progress_timer::ProgressLimits;
use super::refusal::RefusalLog;
pub(crate) use super::request_body::RequestBody;
use super::request_id::RequestId;
use crate::memory::MemoryBudget;

/// Answers the requests of a listener.
pub(crate) trait Handler: Send + Sync + 'static {
    /// The body of its responses. A frame has at most as many bytes as [`Client::memory`] says that the peer accepts; an empty
    /// one says that there are bytes.
    type Body: hyper::body::Body<Data: Send, Error: Into<Box<dyn std::error::Error + Send + Sync>> + Send>
        + Send
        + 'static;

    /// Answers one request. The idle timeout does not run while this is pending, so a handler that reads a request's body
    /// must limit the time itself.
    fn handle(
        &self,
        request: Request<RequestBody>,
        client: &Arc<Client>,
    ) -> impl Future<Output = Response<Self::Body>> + Send;

    /// Returns whether a request is answered although the limit on connections is reached.
    fn is_always_answered(&self, request: &Parts, client: &Client) -> bool;

    /// The response to a request that is refused unseen.
    fn refuse(&self, status: StatusCode, line: &str, id: RequestId) -> Response<Self::Body>;
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
    /// When a client that makes no progress is given up; see [`Client`].
    pub(crate) limits: ProgressLimits,
    /// The budget of the bodies.
    pub(crate) memory: Arc<MemoryBudget>,
    pub(crate) refusals: Arc<RefusalLog>,
}
