//! The status of the server.

use axum::Json;
use axum::extract::State;

use super::refusals::Refusals;
use crate::admin::state::AdminState;
use crate::admin::status::current_status;
use crate::api::Status;
use crate::task::blocking;

/// The server as a whole
#[utoipa::path(
    get, path = "/status", tag = "server", operation_id = "status",
    security(("viewer" = []), ("operator" = [])),
    responses((status = 200, description = "The state of the server", body = Status), Refusals)
)]
pub(super) async fn status(State(state): State<AdminState>) -> Json<Status> {
    Json(blocking(move || current_status(&state)).await)
}
