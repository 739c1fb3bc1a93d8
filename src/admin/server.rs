//! The admin listener itself: which connections and requests it takes, and how what is refused is told.

use std::net::SocketAddr;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::response::IntoResponse as _;
use axum::routing::get;
use axum::{Json, Router};
use bytes::Bytes;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::{Body as _, Incoming};
use hyper::header::{CACHE_CONTROL, HeaderName, HeaderValue, RETRY_AFTER, SERVER};
use hyper::{Request, Response, StatusCode, Uri};
use jiff::Timestamp;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;
use tracing::debug;

use super::events::Ring;
use super::guard::Guard;
use super::problem::Refusal;
use super::tokens::Tokens;
use super::{AdminError, AdminSettings, Reloading, api, dashboard, events, probes};
use crate::api::{Listener, Problem};
use crate::boot::Boot;
use crate::jobs::Jobs;
use crate::sockets::{self, InheritedSockets};
use crate::task::blocking;
use crate::transport::{self, Client, Handler, ListenError, ListenerConfig, RETRY_SECONDS, SERVER_VALUE};

/// Connections at a time: a handful of scrapers and probes, and operators' browsers.
const MAX_CONNECTIONS: usize = 256;

/// How long a connection may be idle. Longer than the usual scrape interval, so that a scraper keeps its connection.
const IDLE_TIMEOUT: Duration = Duration::from_mins(2);

/// How long an answer may go on after the server was told to stop.
const GRACE: Duration = Duration::from_secs(1);

/// The most bytes of a request's content: a thousand names of assets.
const MAX_CONTENT: usize = 64 << 10;

/// How long a request's content may take to come.
const CONTENT_PATIENCE: Duration = Duration::from_secs(10);

/// How long an answer may take to begin. What takes longer is a job.
const ANSWER_PATIENCE: Duration = Duration::from_secs(30);

/// Where the API is.
pub(super) const API: &str = "/api/v1";

/// Renders all metrics in the Prometheus text format.
pub type Metrics = Arc<dyn Fn() -> String + Send + Sync>;

/// Says with each answer of the API what its asker may do, so that the dashboard need not try.
const ACCESS: HeaderName = HeaderName::from_static("bootdepot-access");

/// The admin server, bound and not yet serving.
pub struct AdminServer {
    listener: TcpListener,
    address: SocketAddr,
    settings: AdminSettings,
    tokens: Option<Arc<Tokens>>,
}

/// What the listener shows, and what it lets operators do.
pub struct AdminParts {
    /// Machines, releases and assets.
    pub boot: Boot,
    /// The metrics.
    pub metrics: Metrics,
    /// The catalog, and how to load it again.
    pub reloading: Reloading,
    /// Long work.
    pub jobs: Jobs,
    /// Where the server listens.
    pub listeners: Vec<Listener>,
    /// When it started.
    pub started: Timestamp,
}

/// What every handler is given. Cheap to clone.
pub(super) type Site = Arc<Served>;

/// What is served, and the events of it.
pub(super) struct Served {
    parts: AdminParts,
    pub(super) ring: Arc<Ring>,
    pub(super) stop: CancellationToken,
}

impl Deref for Served {
    type Target = AdminParts;

    fn deref(&self) -> &AdminParts {
        &self.parts
    }
}

impl AdminServer {
    /// Reads the tokens and binds the listener, unless its socket is `inherited`.
    pub async fn bind(settings: AdminSettings, inherited: &mut InheritedSockets) -> Result<Self, AdminError> {
        let reading = settings.clone();
        let tokens = blocking(move || Tokens::read(&reading)).await?.map(Arc::new);
        let address = settings.listen;
        let listener = transport::inherit_or_bind(inherited, sockets::ADMIN, address, &[])?;
        let address = listener.local_addr().map_err(|error| ListenError::new(address, error))?;
        Ok(Self { listener, address, settings, tokens })
    }

    /// Its address, with the port that the system chose.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `stop`; returns when all connections have ended.
    pub async fn serve(self, parts: AdminParts, stop: CancellationToken) {
        let tasks = TaskTracker::new();
        if let Some(tokens) = &self.tokens {
            tasks.spawn(Arc::clone(tokens).watch(stop.clone()));
        }
        let guard = Guard::new(&self.settings, self.tokens);
        let site = Arc::new(Served { parts, ring: Arc::new(Ring::new()), stop: stop.clone() });
        tasks.spawn(events::watch(Arc::clone(&site), stop.clone()));
        let config = ListenerConfig {
            handler: Arc::new(Admin { guard, routes: routes(site) }),
            tls: None,
            tasks: tasks.clone(),
            stop,
            grace: GRACE,
            idle_timeout: IDLE_TIMEOUT,
        };
        tasks.spawn(transport::accept(self.listener, Arc::new(config), Arc::new(Semaphore::new(MAX_CONNECTIONS))));
        tasks.close();
        tasks.wait().await;
    }
}

/// Everything that is served.
fn routes(site: Site) -> Router {
    let (api, document) = api::routes().split_for_parts();
    let document = get(move || std::future::ready(Json(document)));
    let api = api.route(&format!("{API}/openapi.json"), document);
    let router = api.merge(probes::routes()).merge(dashboard::routes());
    router.fallback(unknown).method_not_allowed_fallback(other_method).with_state(site)
}

async fn unknown(uri: Uri) -> Refusal {
    let hint = if is_api(uri.path()) {
        "the API has nothing at this path; /api/v1/openapi.json says what it has"
    } else {
        "nothing is served at this path; here are /, /metrics, /healthz, /readyz and /api/v1"
    };
    Refusal::new(StatusCode::NOT_FOUND, hint)
}

async fn other_method() -> Refusal {
    Refusal::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "this path does not take this method; the field Allow has those it takes",
    )
}

/// Whether the guard stands before this path.
fn is_api(path: &str) -> bool {
    path.strip_prefix("/api").is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

struct Admin {
    guard: Guard,
    routes: Router,
}

impl Handler for Admin {
    type Body = Body;

    async fn handle(&self, request: Request<Incoming>, client: &Arc<Client>) -> Response<Body> {
        let mut response = match self.answer(request, client).await {
            Ok(response) => response,
            Err(refusal) => refusal.into_response(),
        };
        if let Some(problem) = response.extensions().get::<Problem>() {
            let Problem { status, detail, instance, .. } = problem;
            debug!(peer = %client.peer, status, %instance, detail, "no answer of the admin listener");
        }
        let headers = response.headers_mut();
        headers.insert(SERVER, SERVER_VALUE);
        headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
        response
    }
}

impl Admin {
    async fn answer(&self, request: Request<Incoming>, client: &Client) -> Result<Response<Body>, Refusal> {
        let (mut parts, content) = request.into_parts();
        let access = if is_api(parts.uri.path()) { Some(self.guard.admit(&parts, client)?) } else { None };
        let content = read(content).await?;
        if let Some(uri) = api::with_whole_names(&parts.method, &parts.uri) {
            parts.uri = uri;
        }
        let request = Request::from_parts(parts, Body::from(content));
        match timeout(ANSWER_PATIENCE, self.routes.clone().oneshot(request)).await {
            Ok(Ok(mut response)) => {
                if let Some(access) = access {
                    response.headers_mut().insert(ACCESS, HeaderValue::from_static(access.as_str()));
                }
                Ok(response)
            }
            Ok(Err(never)) => match never {},
            Err(_) => {
                let detail = "the answer takes too long; the log of the server may say what it waits for";
                Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, detail).with_field(RETRY_AFTER, RETRY_SECONDS))
            }
        }
    }
}

/// A request's content, whole.
async fn read(content: Incoming) -> Result<Bytes, Refusal> {
    if content.is_end_stream() {
        return Ok(Bytes::new());
    }
    match timeout(CONTENT_PATIENCE, Limited::new(content, MAX_CONTENT).collect()).await {
        Ok(Ok(content)) => Ok(content.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            let detail = format!("the request's content has more than {MAX_CONTENT} bytes; ask for it in pieces");
            Err(Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, detail))
        }
        Ok(Err(error)) => {
            Err(Refusal::new(StatusCode::BAD_REQUEST, format!("the request's content broke off: {error}")))
        }
        Err(_) => Err(Refusal::new(StatusCode::REQUEST_TIMEOUT, "the request's content did not come in time")),
    }
}
