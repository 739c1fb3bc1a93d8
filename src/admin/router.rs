//! Everything that the admin listener serves: the API with its `OpenAPI` document, probes and the dashboard.

use axum::routing::get;
use axum::{Json, Router};
use hyper::{StatusCode, Uri};

use super::api_error::ApiError;
use super::state::AdminState;
use super::{api, dashboard, probes};

/// Assembles all routes.
pub(super) fn router(state: AdminState) -> Router {
    let (api, document) = api::routes().split_for_parts();
    let document = get(move || std::future::ready(Json(document)));
    let api = api.route(&format!("{}/openapi.json", api::PREFIX), document);
    let router = api.merge(probes::routes()).merge(dashboard::routes());
    with_fallbacks(router).with_state(state)
}

/// Adds the answers to unknown paths and methods.
pub(super) fn with_fallbacks<S: Clone + Send + Sync + 'static>(router: Router<S>) -> Router<S> {
    router.fallback(not_found).method_not_allowed_fallback(method_not_allowed)
}

/// Returns whether the path belongs to the API, so that the guard must admit the request first.
pub(super) fn is_api(path: &str) -> bool {
    path.strip_prefix("/api").is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

async fn not_found(uri: Uri) -> ApiError {
    let hint = if is_api(uri.path()) {
        "the API has no resource at this path; /api/v1/openapi.json lists all of them"
    } else {
        "no resource at this path; this listener serves /, /metrics, /healthz, /readyz and /api/v1"
    };
    ApiError::new(StatusCode::NOT_FOUND, hint)
}

async fn method_not_allowed() -> ApiError {
    let detail = "this path does not support this method; the response field Allow lists the supported ones";
    ApiError::new(StatusCode::METHOD_NOT_ALLOWED, detail)
}
