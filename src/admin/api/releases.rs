//! The endpoints of releases.

use axum::Json;
use axum::extract::State;
use hyper::StatusCode;

use super::refusals::Refusals;
use crate::admin::api_error::ApiError;
use crate::admin::extract::Name;
use crate::admin::state::AdminState;
use crate::api::{Problem, ReleaseList, ReleaseView};

/// All releases
#[utoipa::path(
    get, path = "/releases", tag = "releases", operation_id = "releases",
    security(("viewer" = []), ("operator" = [])),
    responses((status = 200, description = "The releases", body = ReleaseList), Refusals)
)]
pub(super) async fn list(State(state): State<AdminState>) -> Json<ReleaseList> {
    Json(ReleaseList { releases: state.boot.releases().list().into_iter().map(Into::into).collect() })
}

/// Makes a release the active one of its channel
///
/// It goes live, as a whole, when its last asset is cached: boot scripts then name its assets. Until then the previous release
/// stays live.
#[utoipa::path(
    post, path = "/releases/{name}/activate", tag = "releases", operation_id = "activate",
    params(("name" = String, Path, description = "The release's name")),
    security(("operator" = [])),
    responses(
        (status = 202, description = "It is active; the release shows the progress", body = ReleaseView),
        (status = 404, description = "There is no such release", body = Problem, content_type = "application/problem+json"),
        Refusals
    )
)]
pub(super) async fn activate(
    State(state): State<AdminState>,
    Name(name): Name,
) -> Result<(StatusCode, Json<ReleaseView>), ApiError> {
    match state.boot.releases().activate(&name).await {
        Ok(release) => Ok((StatusCode::ACCEPTED, Json(release.into()))),
        Err(error) => Err(ApiError::new(StatusCode::NOT_FOUND, error.to_string())),
    }
}
