//! Short plain-text responses: errors and health checks. It knows no assets.

use hyper::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER, SERVER};
use hyper::{Response, StatusCode};

use super::body::Body;
use crate::transport::{RETRY_SECONDS, RequestId, SERVER_VALUE, X_REQUEST_ID};

/// The media type of every text.
const PLAIN: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

/// Returns a response with one line of text.
pub(super) fn text(status: StatusCode, line: &str) -> Response<Body> {
    let mut response = Response::new(Body::text(format!("{line}\n")));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, PLAIN);
    response.headers_mut().insert(SERVER, SERVER_VALUE);
    response
}

/// Returns an error response with one line of text and the id under which the log has the details.
pub(super) fn error(status: StatusCode, line: &str, id: RequestId) -> Response<Body> {
    let mut response = text(status, line);
    if let Ok(value) = HeaderValue::try_from(id.to_string()) {
        response.headers_mut().insert(X_REQUEST_ID, value);
    }
    response
}

/// Adds `Retry-After` to a response.
pub(super) fn with_retry_after(mut response: Response<Body>, seconds: u64) -> Response<Body> {
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    response
}

/// `/healthz`: 200 while the process runs.
pub(super) fn health() -> Response<Body> {
    text(StatusCode::OK, "ok")
}

/// `/readyz`: 200, or 503 with one line for each of the `problems` that keep machines from booting. The `warnings` follow.
pub(super) fn ready(problems: &[String], warnings: &[String]) -> Response<Body> {
    let lines = |first: &[String]| [first, warnings].concat().join("\n");
    match problems {
        [] => text(StatusCode::OK, &lines(&["ready".to_owned()])),
        problems => with_retry_after(text(StatusCode::SERVICE_UNAVAILABLE, &lines(problems)), RETRY_SECONDS),
    }
}
