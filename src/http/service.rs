//! Routes the requests of the HTTP listeners: assets by name and by digest, scripts, host files, and health checks.

use std::sync::Arc;
use std::time::Duration;

use http::request::Parts;
use hyper::body::Body as _;
use hyper::header::{
    ACCEPT, ALLOW, CACHE_CONTROL, CONTENT_LENGTH, HOST, HeaderMap, HeaderName, HeaderValue, IF_MATCH,
    IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE, RANGE, X_CONTENT_TYPE_OPTIONS,
};
use hyper::{Method, Request, Response, StatusCode};
use tracing::debug;

use super::asset_handler::{Addressed, AssetHandler};
use super::body::Body;
use super::boot_handler::BootHandler;
use super::path::Route;
use super::response;
use crate::boot::{Boot, RequestedScript};
use crate::transport::{Client, Handler, RequestBody, RequestId};

/// The fields of a request that the handlers look at.
const USED_FIELDS: [HeaderName; 8] =
    [ACCEPT, HOST, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE, RANGE];

/// Lines of one field that are looked at; a client sends one.
const MAX_VALUES: usize = 8;

/// Answers the requests of all HTTP listeners.
pub(super) struct Service {
    boot: Boot,
    /// The base URL of scripts; `None` if the operator set none.
    advertise: Option<String>,
    /// How long no byte of an asset may arrive before its client gets 503.
    stall_timeout: Duration,
}

impl Service {
    pub(super) fn new(boot: Boot, advertise: Option<String>, stall_timeout: Duration) -> Self {
        Self { boot, advertise, stall_timeout }
    }
}

impl Handler for Service {
    type Body = Body;

    async fn handle(&self, request: Request<RequestBody>, client: &Arc<Client>) -> Response<Body> {
        // Neither GET nor HEAD has a body that is read.
        let (mut parts, _body) = request.into_parts();
        parts.headers = used_fields(&parts.headers);
        let mut response = self.answer(&parts, client).await;
        if parts.method == Method::HEAD && !response.body().is_end_stream() {
            // hyper omits the body of a HEAD response over HTTP/1 by itself, but not over HTTP/2.
            let length = std::mem::replace(response.body_mut(), Body::empty()).size_hint().lower();
            response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(length));
        }
        response.body_mut().bind(client);
        let headers = response.headers_mut();
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        // Errors, indexes and checks say what is so now.
        headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
        response
    }

    /// Health checks.
    fn is_always_answered(&self, request: &Parts, _: &Client) -> bool {
        let query = request.uri.query().unwrap_or_default();
        matches!(Route::parse(request.uri.path(), query), Route::Health | Route::Ready)
    }

    fn refuse(&self, status: StatusCode, line: &str, id: RequestId) -> Response<Body> {
        response::error(status, line, id)
    }
}

impl Service {
    async fn answer(&self, request: &Parts, client: &Arc<Client>) -> Response<Body> {
        if !matches!(request.method, Method::GET | Method::HEAD) {
            return method_not_allowed(request, client);
        }
        let depot = self.boot.depot();
        let assets = AssetHandler { depot, stall_timeout: self.stall_timeout };
        let scripts = BootHandler { boot: &self.boot, advertise: self.advertise.as_deref() };
        let query = request.uri.query().unwrap_or_default();
        let script = |path| RequestedScript::find(path, query).filter(|script| script.exists(&self.boot));
        match Route::parse(request.uri.path(), query) {
            Route::Asset(name) => match script(&name) {
                // Boot loaders that were loaded as an asset request their script beside it.
                Some(script) if !assets.exists(&name).await => scripts.script(&script, request, client),
                _ => assets.serve_name(&name, request, client).await,
            },
            Route::Blob(digest) => match depot.find_digest(&digest) {
                Some(found) => assets.serve(&found, Addressed::ByDigest, request, client).await,
                None => assets.missing(&format!("sha256:{digest}"), client),
            },
            Route::Ipxe => scripts.ipxe(request, client),
            Route::Script(script) if script.exists(&self.boot) => scripts.script(&script, request, client),
            Route::HostFile { host, file } => scripts.host_file(&host, &file, request, client).await,
            Route::Health => response::health(),
            Route::Ready => response::ready(&self.boot.problems(), &self.boot.warnings()),
            Route::Script(_) | Route::Unknown => not_found(request, client),
        }
    }
}

/// The fields of a request that are used. The others are dropped at once: a request may wait for its asset for long, and a few
/// bytes of HTTP/2 can name hundreds of fields that were sent before.
fn used_fields(headers: &HeaderMap) -> HeaderMap {
    let mut used = HeaderMap::new();
    for name in USED_FIELDS {
        for value in headers.get_all(&name).iter().take(MAX_VALUES) {
            used.append(name.clone(), value.clone());
        }
    }
    used
}

fn method_not_allowed(request: &Parts, client: &Client) -> Response<Body> {
    let id = RequestId::new();
    debug!(client = %client.peer, method = %request.method, path = ?request.uri.path(), request = %id, "method not allowed");
    let mut response = response::error(StatusCode::METHOD_NOT_ALLOWED, "this server serves only GET and HEAD", id);
    response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
    response
}

fn not_found(request: &Parts, client: &Client) -> Response<Body> {
    let id = RequestId::new();
    debug!(client = %client.peer, path = ?request.uri.path(), request = %id, "path not found");
    let line = "no resource at this path; assets are at /assets/NAME, the entry script is at /boot.ipxe";
    response::error(StatusCode::NOT_FOUND, line, id)
}
