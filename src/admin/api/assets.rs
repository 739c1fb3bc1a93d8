//! The endpoints of assets.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use hyper::StatusCode;
use serde::Deserialize;
use utoipa::IntoParams;

use super::jobs::{self, Started};
use super::refusals::{NoAsset, Refusals};
use crate::admin::api_error::ApiError;
use crate::admin::cache_snapshot::{CacheSnapshot, sorted};
use crate::admin::extract::{Name, Query};
use crate::admin::state::AdminState;
use crate::api::{AssetList, AssetState, AssetView, Evicted, JobView, Problem};
use crate::asset::AssetName;
use crate::catalog::Asset;
use crate::depot::{AcceptError, Accepted, EvictRefusal, PinError, ReadError};
use crate::jobs::{Selection, Task};
use crate::task::blocking;

/// The most assets on one page.
const MAX_LIMIT: u16 = 1000;

/// Which assets to return.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub(super) struct ListQuery {
    /// Only assets whose names begin with this.
    prefix: Option<String>,
    /// Only assets in this state.
    #[param(inline)]
    state: Option<AssetState>,
    /// The most assets to return: 1 to 1000, 1000 by default.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u16>,
    /// Only assets after this name: `next` of the previous page.
    after: Option<String>,
}

/// Assets by name
#[utoipa::path(
    get, path = "/assets", tag = "assets", operation_id = "assets", params(ListQuery),
    security(("viewer" = []), ("operator" = [])),
    responses((status = 200, description = "The assets", body = AssetList), Refusals)
)]
pub(super) async fn list(
    State(state): State<AdminState>,
    Query(wanted): Query<ListQuery>,
) -> Result<Json<AssetList>, ApiError> {
    let ListQuery { prefix, state: wanted_state, limit, after } = wanted;
    let limit = limit.unwrap_or(MAX_LIMIT);
    if !(1..=MAX_LIMIT).contains(&limit) {
        return Err(ApiError::new(StatusCode::BAD_REQUEST, format!("limit is {limit}; it may be 1 to {MAX_LIMIT}")));
    }
    let look = move || {
        let snapshot = CacheSnapshot::take(&state.boot);
        let mut assets = sorted(state.boot.depot(), prefix.as_deref().unwrap_or_default());
        if let Some(wanted) = wanted_state {
            assets.retain(|asset| snapshot.state(asset) == wanted);
        }
        let first = after.map_or(0, |after| assets.partition_point(|asset| asset.name.as_str() <= after.as_str()));
        let page = &assets[first..assets.len().min(first + usize::from(limit))];
        let more = first + page.len() < assets.len();
        let next = page.last().filter(|_| more).map(|last| last.name.to_string());
        AssetList { assets: page.iter().map(|asset| snapshot.view(asset)).collect(), total: assets.len(), next }
    };
    Ok(Json(blocking(look).await))
}

/// One asset
#[utoipa::path(
    get, path = "/assets/{name}", tag = "assets", operation_id = "asset",
    params(("name" = String, Path, description = "The asset's name; slashes need no encoding")),
    security(("viewer" = []), ("operator" = [])),
    responses(
        (status = 200, description = "The asset", body = AssetView),
        NoAsset,
        Refusals
    )
)]
pub(super) async fn one(State(state): State<AdminState>, Name(name): Name) -> Result<Json<AssetView>, ApiError> {
    Ok(view(&state, find(&state, &name)?).await)
}

/// Fetches an asset into the cache
#[utoipa::path(
    post, path = "/assets/{name}/preload", tag = "assets", operation_id = "preload_asset",
    params(("name" = String, Path, description = "The asset's name; slashes need no encoding")),
    security(("operator" = [])),
    responses(
        (status = 202, description = "The job", body = JobView),
        NoAsset,
        Refusals
    )
)]
pub(super) async fn preload(State(state): State<AdminState>, Name(name): Name) -> Result<Started, ApiError> {
    if !state.boot.depot().is_member(&name) {
        find(&state, &name)?;
    }
    let selection = Selection::of_assets(vec![name]);
    jobs::start(&state, Task::Preload { selection, verify: false, keep_going: true }).await
}

/// Hashes an asset's bytes again
///
/// A corrupt blob is quarantined, and fetched again on its next request.
#[utoipa::path(
    post, path = "/assets/{name}/verify", tag = "assets", operation_id = "verify_asset",
    params(("name" = String, Path, description = "The asset's name; slashes need no encoding")),
    security(("operator" = [])),
    responses(
        (status = 202, description = "The job", body = JobView),
        NoAsset,
        Refusals
    )
)]
pub(super) async fn verify(State(state): State<AdminState>, Name(name): Name) -> Result<Started, ApiError> {
    let asset = find(&state, &name)?;
    jobs::start(&state, Task::Verify { assets: vec![asset.name.to_string()] }).await
}

/// Pins an asset
///
/// It is not evicted until it is unpinned. It need not be cached yet. Pins survive restarts and reloads.
#[utoipa::path(
    post, path = "/assets/{name}/pin", tag = "assets", operation_id = "pin_asset",
    params(("name" = String, Path, description = "The asset's name; slashes need no encoding")),
    security(("operator" = [])),
    responses(
        (status = 200, description = "The asset as it is now", body = AssetView),
        NoAsset,
        (status = 500, description = "The pin cannot be stored, and is not set", body = Problem,
            content_type = "application/problem+json"),
        Refusals
    )
)]
pub(super) async fn pin(State(state): State<AdminState>, Name(name): Name) -> Result<Json<AssetView>, ApiError> {
    state.boot.depot().pin(&name).await.map_err(|error| pin_error(&error))?;
    one(State(state), Name(name)).await
}

/// Removes an operator's pin
///
/// The name need not be in the catalog any more. Pins of the settings and of releases stay.
#[utoipa::path(
    post, path = "/assets/{name}/unpin", tag = "assets", operation_id = "unpin_asset",
    params(("name" = String, Path, description = "The asset's name; slashes need no encoding")),
    security(("operator" = [])),
    responses(
        (status = 200, description = "The asset as it is now", body = AssetView),
        NoAsset,
        (status = 500, description = "The change cannot be stored, and is not made", body = Problem,
            content_type = "application/problem+json"),
        Refusals
    )
)]
pub(super) async fn unpin(State(state): State<AdminState>, Name(name): Name) -> Result<Json<AssetView>, ApiError> {
    let depot = state.boot.depot();
    let pinned = depot.pins().into_iter().find(|pin| pin.name == name);
    depot.unpin(&name).await.map_err(|error| pin_error(&error))?;
    // If the catalog does not have it any more, what is left is what was pinned.
    let former = pinned.and_then(|pin| {
        let name = AssetName::parse(&pin.name).ok()?;
        Some(Arc::new(Asset::new(name, pin.digest, Vec::new())))
    });
    match depot.find(&name).or(former) {
        Some(asset) => Ok(view(&state, asset).await),
        None => Err(unknown(&name)),
    }
}

/// Removes an asset's bytes from the cache
#[utoipa::path(
    post, path = "/assets/{name}/evict", tag = "assets", operation_id = "evict_asset",
    params(("name" = String, Path, description = "The asset's name; slashes need no encoding")),
    security(("operator" = [])),
    responses(
        (status = 200, description = "It is removed", body = Evicted),
        NoAsset,
        (status = 409, description = "It is not cached, or it is pinned or in use: the problem says by what", body = Problem,
            content_type = "application/problem+json"),
        (status = 500, description = "The disk fails to remove it", body = Problem,
            content_type = "application/problem+json"),
        Refusals
    )
)]
pub(super) async fn evict(State(state): State<AdminState>, Name(name): Name) -> Result<Json<Evicted>, ApiError> {
    let asset = find(&state, &name)?;
    match state.boot.depot().evict(&asset).await {
        Ok(freed) => Ok(Json(Evicted { freed })),
        Err(error @ EvictRefusal::Failed(_)) => {
            Err(ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))
        }
        Err(error) => Err(ApiError::new(StatusCode::CONFLICT, error.to_string())),
    }
}

/// Accepts that an object has changed
///
/// For an asset of a collection: its source is asked, and the bytes that the object has now are served from now on. An asset that
/// its source does not have any more is forgotten. If only reading the object says its digest, the answer waits for that; requests
/// for the same asset share one reading, which goes on if they end.
#[utoipa::path(
    post, path = "/assets/{name}/accept", tag = "assets", operation_id = "accept_asset",
    params(("name" = String, Path, description = "The asset's name; slashes need no encoding")),
    security(("operator" = [])),
    responses(
        (status = 200, description = "The asset as it is now", body = AssetView),
        (status = 204, description = "Its source does not have it any more, and its digest is no longer recorded"),
        (status = 404, description = "It belongs to no collection, or its source never had it", body = Problem,
            content_type = "application/problem+json"),
        (status = 409, description = "The document beside its object still says the digest that is served", body = Problem,
            content_type = "application/problem+json"),
        (status = 502, description = "Its source cannot be asked, or its digest cannot be recorded", body = Problem,
            content_type = "application/problem+json"),
        Refusals
    )
)]
pub(super) async fn accept(State(state): State<AdminState>, Name(name): Name) -> Result<Response, ApiError> {
    match state.boot.depot().accept(&name).await {
        Ok(Accepted::Asset(asset)) => Ok(view(&state, asset).await.into_response()),
        Ok(Accepted::Removed) => Ok(StatusCode::NO_CONTENT.into_response()),
        Err(error) => {
            let status = match &error {
                AcceptError::NoMember(_) | AcceptError::Read { source: ReadError::NotFound(_), .. } => {
                    StatusCode::NOT_FOUND
                }
                AcceptError::LateDocument { .. } => StatusCode::CONFLICT,
                AcceptError::Read { .. } => StatusCode::BAD_GATEWAY,
            };
            Err(ApiError::new(status, error.to_string()))
        }
    }
}

async fn view(state: &AdminState, asset: Arc<Asset>) -> Json<AssetView> {
    let state = state.clone();
    Json(blocking(move || CacheSnapshot::take(&state.boot).view(&asset)).await)
}

fn find(state: &AdminState, name: &str) -> Result<Arc<Asset>, ApiError> {
    state.boot.depot().find(name).ok_or_else(|| unknown(name))
}

fn unknown(name: &str) -> ApiError {
    ApiError::new(StatusCode::NOT_FOUND, format!("the catalog has no asset {name:?}"))
}

fn pin_error(error: &PinError) -> ApiError {
    let status = match error {
        PinError::Unknown(_) => StatusCode::NOT_FOUND,
        PinError::Unwritten { .. } | PinError::Unreadable { .. } => StatusCode::INTERNAL_SERVER_ERROR,
    };
    ApiError::new(status, error.to_string())
}
