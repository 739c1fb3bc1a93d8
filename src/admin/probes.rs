//! Probes of the admin listener: metrics and health checks. They need no token and reveal nothing about machines.

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use hyper::StatusCode;
use hyper::header::{CONTENT_TYPE, HeaderName, RETRY_AFTER};

use super::state::AdminState;
use crate::transport::RETRY_SECONDS;

/// The Prometheus text format, version 0.0.4.
const PROMETHEUS: [(HeaderName, &str); 1] = [(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];

/// Returns the routes of the probes.
pub(super) fn routes() -> Router<AdminState> {
    Router::new().route("/metrics", get(metrics)).route("/healthz", get(health)).route("/readyz", get(ready))
}

/// Returns whether a path is one of the probes.
pub(super) fn is_probe(path: &str) -> bool {
    matches!(path, "/metrics" | "/healthz" | "/readyz")
}

async fn metrics(State(state): State<AdminState>) -> Response {
    let text = (state.metrics)();
    (PROMETHEUS, format!("{}\n", text.trim_end())).into_response()
}

/// 200 while the process runs.
async fn health() -> &'static str {
    "ok\n"
}

/// 200, or 503 with one line for each problem that keeps machines from booting. Warnings follow, one line each.
async fn ready(State(state): State<AdminState>) -> Response {
    let (problems, warnings) = (state.boot.problems(), state.boot.warnings());
    let lines = |first: Vec<String>| format!("{}\n", [first, warnings].concat().join("\n"));
    if problems.is_empty() {
        return lines(vec!["ready".to_owned()]).into_response();
    }
    let retry_after = [(RETRY_AFTER, RETRY_SECONDS.to_string())];
    (StatusCode::SERVICE_UNAVAILABLE, retry_after, lines(problems)).into_response()
}
