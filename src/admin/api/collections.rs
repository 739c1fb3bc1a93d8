//! The endpoints of collections.

use axum::Json;
use axum::extract::State;
use hyper::StatusCode;
use serde::Deserialize;
use utoipa::IntoParams;

use super::refusals::Refusals;
use crate::admin::api_error::ApiError;
use crate::admin::cache_snapshot::CacheSnapshot;
use crate::admin::extract::Query;
use crate::admin::state::AdminState;
use crate::api::{CollectionList, DirectoryView, FileView, Problem};
use crate::clock::timestamp;
use crate::task::blocking;

/// Which directory to list.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct DirectoryQuery {
    /// The directory, such as `isos/`: it begins with the prefix of a collection, and ends with a slash.
    path: String,
}

/// All collections
#[utoipa::path(
    get, path = "/collections", tag = "assets", operation_id = "collections",
    security(("viewer" = []), ("operator" = [])),
    responses((status = 200, description = "The collections", body = CollectionList), Refusals)
)]
pub(super) async fn list(State(state): State<AdminState>) -> Json<CollectionList> {
    let catalog = state.boot.depot().catalog();
    Json(CollectionList { collections: catalog.collections().iter().map(|it| it.as_ref().into()).collect() })
}

/// The content of a directory of a collection
///
/// The source is asked, also for what was not requested so far.
#[utoipa::path(
    get, path = "/directory", tag = "assets", operation_id = "directory", params(DirectoryQuery),
    security(("viewer" = []), ("operator" = [])),
    responses(
        (status = 200, description = "The directory", body = DirectoryView),
        (status = 404, description = "It belongs to no collection, or nothing is in it", body = Problem,
            content_type = "application/problem+json"),
        (status = 502, description = "The source cannot be listed: the problem says why", body = Problem,
            content_type = "application/problem+json"),
        Refusals
    )
)]
pub(super) async fn directory(
    State(state): State<AdminState>,
    Query(DirectoryQuery { path }): Query<DirectoryQuery>,
) -> Result<Json<DirectoryView>, ApiError> {
    let depot = state.boot.depot();
    if depot.collection_of(&path).is_none() {
        let detail =
            format!("{path:?} is in no collection; a directory begins with the prefix of one and ends with a slash");
        return Err(ApiError::new(StatusCode::NOT_FOUND, detail));
    }
    let found = depot.directory(&path).await;
    let found = found.map_err(|error| ApiError::new(StatusCode::BAD_GATEWAY, error.to_string()))?;
    let Some(found) = found else {
        let detail = format!("nothing is in {path:?}; files of a web server are listed after their first request");
        return Err(ApiError::new(StatusCode::NOT_FOUND, detail));
    };
    let look = move || {
        let snapshot = CacheSnapshot::take(&state.boot);
        let files = found.files.into_iter().map(|file| FileView {
            name: format!("{path}{}", file.name),
            size: file.size,
            modified: file.modified.map(timestamp),
            digest: file.asset.as_ref().map(|asset| asset.digest),
            state: file.asset.as_ref().map(|asset| snapshot.state(asset)),
        });
        let files = files.collect();
        let directories = found.directories.into_iter().map(|name| name + "/").collect();
        DirectoryView { directories, files, complete: found.is_complete }
    };
    Ok(Json(blocking(look).await))
}
