//! The admin server: binds its listener, admits requests, limits their bodies and their time, and calls the router.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::response::IntoResponse as _;
use bytes::Bytes;
use http::request::Parts;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::Body as _;
use hyper::header::{CACHE_CONTROL, HeaderName, HeaderValue, RETRY_AFTER, SERVER};
use hyper::{Request, Response, StatusCode};
use tokio::net::TcpListener;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;
use tracing::debug;

use super::api_error::ApiError;
use super::error::AdminError;
use super::guard::Guard;
use super::router::{is_api, router};
use super::settings::AdminSettings;
use super::state::{AdminParts, AdminState};
use super::tokens::Tokens;
use super::{api, events, probes};
use crate::api::Problem;
use crate::memory::MemoryBudget;
use crate::sockets::{self, InheritedSockets};
use crate::task::blocking;
use crate::transport::{
    self, Client, ConnectionLimit, Handler, ListenError, ListenerConfig, ProgressLimits, RETRY_SECONDS, RefusalLog,
    RequestBody, RequestId, SERVER_VALUE, X_REQUEST_ID,
};

/// Connections at a time: some scrapers and probes, and the browsers of operators.
const MAX_CONNECTIONS: usize = 256;

/// How long a connection may be idle. Longer than the usual scrape interval, so that a scraper keeps its connection.
const IDLE_TIMEOUT: Duration = Duration::from_mins(2);

/// The slowest client, in bytes a second.
const MIN_RATE: u64 = 512;

/// Bytes that the send queues of the connections share; the bodies are not charged, as each has a limit of its own.
const MEMORY: usize = 64 << 20;

/// How long a response may go on after `stop`.
const GRACE: Duration = Duration::from_secs(1);

/// The largest request body, in bytes: about a thousand asset names.
const MAX_BODY: usize = 64 << 10;

/// How long a request body may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a handler may take. Longer operations are jobs.
const HANDLER_TIMEOUT: Duration = Duration::from_secs(30);

/// The response field of the API that holds the client's access, so that the dashboard need not try.
const ACCESS: HeaderName = HeaderName::from_static("bootdepot-access");

/// The admin server, bound but not serving yet.
pub struct AdminServer {
    listener: TcpListener,
    address: SocketAddr,
    settings: AdminSettings,
    tokens: Option<Arc<Tokens>>,
}

impl AdminServer {
    /// Reads the tokens and binds the listener; takes over its socket if it was `inherited`.
    pub async fn bind(settings: AdminSettings, inherited: &mut InheritedSockets) -> Result<Self, AdminError> {
        let reading = settings.clone();
        let tokens = blocking(move || Tokens::read(&reading)).await?.map(Arc::new);
        let address = settings.listen;
        let listener = transport::inherit_or_bind(inherited, sockets::ADMIN, address, &[])?;
        let address = listener.local_addr().map_err(|error| ListenError::new(address, error))?;
        Ok(Self { listener, address, settings, tokens })
    }

    /// Returns its address, with the port that the system chose.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `stop`, and returns when all connections have ended.
    pub async fn serve(self, parts: AdminParts, stop: CancellationToken) {
        let tasks = TaskTracker::new();
        if let Some(tokens) = &self.tokens {
            tasks.spawn(Arc::clone(tokens).watch(stop.clone()));
        }
        let guard = Guard::new(&self.settings, self.tokens);
        let state = AdminState::new(parts, stop.clone());
        tasks.spawn(events::watch(state.clone(), stop.clone()));
        let config = ListenerConfig {
            handler: Arc::new(AdminService { guard, router: router(state) }),
            tls: None,
            tasks: tasks.clone(),
            stop,
            grace: GRACE,
            limits: ProgressLimits { idle_timeout: IDLE_TIMEOUT, min_rate: MIN_RATE },
            memory: MemoryBudget::new(MEMORY),
            refusals: Arc::new(RefusalLog::new()),
        };
        let limit = ConnectionLimit::new("admin-connections", MAX_CONNECTIONS, &self.settings.shares);
        tasks.spawn(transport::accept(self.listener, Arc::new(config), limit));
        tasks.close();
        tasks.wait().await;
    }
}

/// Answers the requests of the admin listener.
struct AdminService {
    guard: Guard,
    router: Router,
}

impl Handler for AdminService {
    type Body = Body;

    async fn handle(&self, request: Request<RequestBody>, client: &Arc<Client>) -> Response<Body> {
        let mut response = match self.answer(request, client).await {
            Ok(response) => response,
            Err(refusal) => refusal.into_response(),
        };
        if let Some(problem) = response.extensions().get::<Problem>() {
            let Problem { status, detail, instance, .. } = problem;
            debug!(client = %client.peer, status, %instance, detail, "admin request failed");
        }
        let headers = response.headers_mut();
        headers.insert(SERVER, SERVER_VALUE);
        headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
        response
    }

    /// Probes, and requests to the API with a valid token.
    fn is_always_answered(&self, request: &Parts, client: &Client) -> bool {
        let path = request.uri.path();
        probes::is_probe(path) || is_api(path) && self.guard.admit(request, client).is_ok()
    }

    fn refuse(&self, status: StatusCode, line: &str, id: RequestId) -> Response<Body> {
        let mut response = ApiError::new(status, line).into_response();
        if let Ok(id) = HeaderValue::try_from(id.to_string()) {
            response.headers_mut().insert(X_REQUEST_ID, id);
        }
        response
    }
}

impl AdminService {
    async fn answer(&self, request: Request<RequestBody>, client: &Client) -> Result<Response<Body>, ApiError> {
        let (mut parts, body) = request.into_parts();
        let access = if is_api(parts.uri.path()) { Some(self.guard.admit(&parts, client)?) } else { None };
        let body = read(body).await?;
        if let Some(uri) = api::encode_asset_name(&parts.method, &parts.uri) {
            parts.uri = uri;
        }
        let request = Request::from_parts(parts, Body::from(body));
        match timeout(HANDLER_TIMEOUT, self.router.clone().oneshot(request)).await {
            Ok(Ok(mut response)) => {
                if let Some(access) = access {
                    response.headers_mut().insert(ACCESS, HeaderValue::from_static(access.into_str()));
                }
                Ok(response)
            }
            Ok(Err(never)) => match never {},
            Err(_) => {
                let detail = "the request takes too long; see the log of the server for what it waits for";
                Err(ApiError::new(StatusCode::SERVICE_UNAVAILABLE, detail).with_field(RETRY_AFTER, RETRY_SECONDS))
            }
        }
    }
}

/// Reads a whole request body.
async fn read(body: RequestBody) -> Result<Bytes, ApiError> {
    if body.is_end_stream() {
        return Ok(Bytes::new());
    }
    match timeout(BODY_TIMEOUT, Limited::new(body, MAX_BODY).collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            let detail = format!("the request body is larger than {MAX_BODY} bytes; split the request");
            Err(ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, detail))
        }
        Ok(Err(error)) => {
            Err(ApiError::new(StatusCode::BAD_REQUEST, format!("the request body is incomplete: {error}")))
        }
        Err(_) => Err(ApiError::new(StatusCode::REQUEST_TIMEOUT, "the request body did not arrive in time")),
    }
}
