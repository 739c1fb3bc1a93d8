//! The endpoint of reloads.

use axum::Json;
use axum::extract::State;
use hyper::StatusCode;

use super::refusals::Refusals;
use crate::admin::api_error::ApiError;
use crate::admin::state::AdminState;
use crate::api::{Problem, ReloadView};

/// Reloads settings and catalog
///
/// If there are errors, nothing changes. Transfers and fills go on in any case.
#[utoipa::path(
    post, path = "/reload", tag = "server", operation_id = "reload",
    security(("operator" = [])),
    responses(
        (status = 200, description = "The settings are in force", body = ReloadView),
        (status = 422, description = "There are errors, and nothing has changed; `errors` lists them",
            body = Problem, content_type = "application/problem+json"),
        Refusals
    )
)]
pub(super) async fn reload(State(state): State<AdminState>) -> Result<Json<ReloadView>, ApiError> {
    match (state.reloading.reload)().await {
        Ok(view) => Ok(Json(view)),
        Err(failure) => {
            let detail = "the settings have errors; the previous settings stay in force";
            Err(ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, detail).with_errors(failure.errors))
        }
    }
}
