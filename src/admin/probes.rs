//! What machines ask the admin listener: metrics and health checks. They need no token; they tell nothing of machines.

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use hyper::StatusCode;
use hyper::header::{CONTENT_TYPE, HeaderName, RETRY_AFTER};

use super::server::Site;
use crate::transport::RETRY_SECONDS;

/// The Prometheus text format, version 0.0.4.
const PROMETHEUS: [(HeaderName, &str); 1] = [(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];

/// Their routes.
pub(super) fn routes() -> Router<Site> {
    Router::new().route("/metrics", get(metrics)).route("/healthz", get(health)).route("/readyz", get(ready))
}

async fn metrics(State(site): State<Site>) -> Response {
    let text = (site.metrics)();
    (PROMETHEUS, format!("{}\n", text.trim_end())).into_response()
}

/// The process answers.
async fn health() -> &'static str {
    "ok\n"
}

/// 200, or 503 with what stands in the way, a line each.
async fn ready(State(site): State<Site>) -> Response {
    match site.boot.troubles().as_slice() {
        [] => "ready\n".into_response(),
        troubles => {
            let again = [(RETRY_AFTER, RETRY_SECONDS.to_string())];
            (StatusCode::SERVICE_UNAVAILABLE, again, format!("{}\n", troubles.join("\n"))).into_response()
        }
    }
}
