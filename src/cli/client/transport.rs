//! How requests reach the router: over TCP, or as calls within this process.

use axum::Router;
use axum::body::Body;
use hyper::header::{ACCEPT, CONTENT_TYPE};
use hyper::{HeaderMap, Method, Request, Response, StatusCode};
use tower::ServiceExt as _;

use super::error::ClientError;
use super::reply::Reply;
use super::tcp::Tcp;

/// How requests reach the router.
pub(super) enum Transport {
    /// That of a running server, with its guard.
    Tcp(Tcp),
    /// The router of this process, without a guard: a user who can open the cache may do everything.
    InProcess(Router),
}

impl Transport {
    /// Sends a request, with `body` as JSON, and reads the response. `waits`: however long a server takes for it.
    pub(super) async fn send(
        &self,
        method: Method,
        target: &str,
        body: Option<Vec<u8>>,
        waits: bool,
    ) -> Result<Reply, ClientError> {
        let request = request(method, target, body)?;
        match self {
            Self::Tcp(tcp) => tcp.send(request, waits).await,
            Self::InProcess(router) => {
                let response = call(router, request).await;
                Reply::read(response).await.map_err(|_| ClientError::Internal)
            }
        }
    }

    /// Sends a GET and returns the response while its body is still coming.
    pub(super) async fn stream(&self, target: &str, fields: HeaderMap) -> Result<Response<Body>, ClientError> {
        let mut request = request(Method::GET, target, None)?;
        request.headers_mut().extend(fields);
        match self {
            Self::Tcp(tcp) => tcp.stream(request).await,
            Self::InProcess(router) => Ok(call(router, request).await),
        }
    }

    /// The error of a response with this status.
    pub(super) fn refusal(&self, status: StatusCode, detail: String) -> ClientError {
        match (self, status) {
            (_, StatusCode::NOT_FOUND) => ClientError::NotFound(detail),
            (Self::Tcp(tcp), StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) => tcp.unauthorized(detail),
            (Self::Tcp(tcp), _) => ClientError::Refused { server: Some(tcp.address()), status, detail },
            (Self::InProcess(_), _) => ClientError::Refused { server: None, status, detail },
        }
    }

    /// The error of a response that is not one of this API.
    pub(super) fn bad_response(&self) -> ClientError {
        match self {
            Self::Tcp(tcp) => ClientError::BadResponse(tcp.address()),
            Self::InProcess(_) => ClientError::Internal,
        }
    }
}

fn request(method: Method, target: &str, body: Option<Vec<u8>>) -> Result<Request<Body>, ClientError> {
    let mut request = Request::builder().method(method).uri(target).header(ACCEPT, "application/json");
    if body.is_some() {
        request = request.header(CONTENT_TYPE, "application/json");
    }
    // The target is made of encoded segments, so this does not fail.
    request.body(Body::from(body.unwrap_or_default())).map_err(|_| ClientError::Internal)
}

async fn call(router: &Router, request: Request<Body>) -> Response<Body> {
    match router.clone().oneshot(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    }
}
