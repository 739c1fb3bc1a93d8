//! Loading settings and catalog again.

use axum::Json;
use axum::extract::State;
use hyper::StatusCode;

use super::refusals::Refusals;
use crate::admin::problem::Refusal;
use crate::admin::state::AdminState;
use crate::api::{Problem, ReloadView};

/// Loads settings and catalog again
///
/// Where anything is wrong with them, all stays as it is. Transfers and fills go on in any case.
#[utoipa::path(
    post, path = "/reload", tag = "server", operation_id = "reload",
    security(("operator" = [])),
    responses(
        (status = 200, description = "They are in force", body = ReloadView),
        (status = 422, description = "They are wrong, and nothing has changed; `errors` says all that is wrong",
            body = Problem, content_type = "application/problem+json"),
        Refusals
    )
)]
pub(super) async fn reload(State(state): State<AdminState>) -> Result<Json<ReloadView>, Refusal> {
    match (state.reloading.reload)().await {
        Ok(view) => Ok(Json(view)),
        Err(failure) => {
            let detail = "the settings cannot be taken; those before stay in force";
            Err(Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, detail).with_errors(failure.errors))
        }
    }
}
