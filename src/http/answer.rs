//! Short answers: texts for people and for health checks. It knows nothing of assets.

use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER, SERVER};
use hyper::{Response, StatusCode};

use super::body::Body;

/// What every answer says of its sender.
pub(crate) const SERVER_VALUE: HeaderValue = HeaderValue::from_static(concat!("bootdepot/", env!("CARGO_PKG_VERSION")));

/// The media type of every text.
const PLAIN: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

/// When to ask again, in seconds, where nothing better is known.
pub(crate) const RETRY_SECONDS: u64 = 5;

pub(crate) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// An answer with a line of text.
pub(super) fn text(status: StatusCode, line: &str) -> Response<Body> {
    let mut response = Response::new(Body::text(format!("{line}\n")));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, PLAIN);
    response.headers_mut().insert(SERVER, SERVER_VALUE);
    response
}

/// An answer that says what is wrong, with the id under which the log has more.
pub(super) fn error(status: StatusCode, line: &str, id: RequestId) -> Response<Body> {
    let mut response = text(status, line);
    if let Ok(value) = HeaderValue::try_from(id.to_string()) {
        response.headers_mut().insert(X_REQUEST_ID, value);
    }
    response
}

/// Asks the client to come back in so many seconds.
pub(super) fn retry_after(mut response: Response<Body>, seconds: u64) -> Response<Body> {
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    response
}

/// `/healthz`: the process answers.
pub(super) fn health() -> Response<Body> {
    text(StatusCode::OK, "ok")
}

/// `/readyz`: 200, or 503 with what stands in the way (`troubles`), a line each.
pub(super) fn ready(troubles: &[String]) -> Response<Body> {
    match troubles {
        [] => text(StatusCode::OK, "ready"),
        troubles => retry_after(text(StatusCode::SERVICE_UNAVAILABLE, &troubles.join("\n")), RETRY_SECONDS),
    }
}

/// Names one failed request in its answer and in the log. Random: it need only tell one from another.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RequestId(u32);

impl RequestId {
    pub(crate) fn new() -> Self {
        Self(fastrand::u32(..))
    }
}

impl std::fmt::Display for RequestId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}
