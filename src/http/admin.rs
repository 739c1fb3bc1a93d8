//! The admin listener: metrics, health checks and the API, for operators' machines rather than booting ones.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::request::Parts;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Response, StatusCode};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::HttpError;
use super::body::Body;
use super::client::Client;
use super::connection::{Conduct, Handler};
use super::path::Route;
use super::{answer, api, listener, server, site};
use crate::boot::Boot;
use crate::sockets::{self, Inherited};

/// Connections at a time: a handful of scrapers and probes.
const MAX_CONNECTIONS: usize = 256;

/// How long a connection may be idle. Longer than the usual scrape interval, so that a scraper keeps its connection.
const PATIENCE: Duration = Duration::from_mins(2);

/// How long an answer may go on after the server was told to stop.
const GRACE: Duration = Duration::from_secs(1);

/// The Prometheus text format, version 0.0.4.
const PROMETHEUS: HeaderValue = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");

/// The admin server, bound and not yet serving.
pub struct AdminServer {
    listener: TcpListener,
    address: SocketAddr,
}

/// Renders all metrics in the Prometheus text format.
pub type Metrics = Arc<dyn Fn() -> String + Send + Sync>;

impl AdminServer {
    /// Binds the listener, unless its socket is `inherited`.
    #[expect(
        clippy::unused_async,
        reason = "a listener is registered with the runtime, which a caller outside of one lacks"
    )]
    pub async fn bind(address: SocketAddr, inherited: &mut Inherited) -> Result<Self, HttpError> {
        let listener = listener::inherit_or_bind(inherited, sockets::ADMIN, address, &[])?;
        let address = listener.local_addr().map_err(|error| HttpError::Listen { address, error })?;
        Ok(Self { listener, address })
    }

    /// Its address, with the port that the system chose.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `stop`; returns when all connections have ended.
    pub async fn serve(self, boot: Boot, metrics: Metrics, stop: CancellationToken) {
        let tasks = TaskTracker::new();
        let conduct = Conduct {
            handler: Arc::new(Admin { boot, metrics }),
            tls: None,
            tasks: tasks.clone(),
            stop,
            grace: GRACE,
            patience: PATIENCE,
        };
        tasks.spawn(server::accept(self.listener, Arc::new(conduct), Arc::new(Semaphore::new(MAX_CONNECTIONS))));
        tasks.close();
        tasks.wait().await;
    }
}

struct Admin {
    boot: Boot,
    metrics: Metrics,
}

impl Handler for Admin {
    async fn handle(&self, request: &Parts, client: &Arc<Client>) -> Response<Body> {
        if let Some(answer) = api::answer(&self.boot, request, client).await {
            return answer;
        }
        if let Some(refusal) = site::other_method(request, client) {
            return refusal;
        }
        match Route::of(request.uri.path()) {
            Route::Health => answer::health(),
            Route::Ready => answer::ready(&self.boot.troubles()),
            Route::Metrics => {
                let mut response = answer::text(StatusCode::OK, (self.metrics)().trim_end());
                response.headers_mut().insert(CONTENT_TYPE, PROMETHEUS);
                response
            }
            _ => site::unknown(request, client, "here are /metrics, /healthz, /readyz and /api/v1"),
        }
    }
}
