//! The stream of events.

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use hyper::header::{CONTENT_TYPE, HeaderName, RETRY_AFTER};
use hyper::{HeaderMap, StatusCode};
use serde::Deserialize;
use utoipa::IntoParams;

use super::refusals::Refusals;
use crate::admin::api_error::ApiError;
use crate::admin::events::{self, Topic, Topics};
use crate::admin::extract::Query;
use crate::admin::state::AdminState;
use crate::transport::RETRY_SECONDS;

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// Which events are wanted.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub(super) struct Wanted {
    /// Those of these topics, with commas between them: `status`, `transfer`, `fill`, `job`, `host`, `release`, `asset`,
    /// `reload`. All where nothing is said.
    #[param(example = "status,host")]
    topics: Option<String>,
}

/// Events as they happen
///
/// Server-sent events. The names and what they hold: `status` (as of `/status`, every two seconds), `transfer` and
/// `transfer-ended` (as in `/transfers`), `fill` and `fill-ended` (as in `/fills`), `job` (as in `/jobs`) and `job-item`
/// (`{job, item}`), `host` (as in `/hosts`), `release` (as in `/releases`), `asset` (as in `/assets`, when its state or its pin
/// changed), `reload` (`last_reload` of the catalog), `omitted` (`{topic, count}`: so many events of a burst were left out; fetch the topic
/// again), and `reset`: events were missed, fetch everything again. Ids grow; `Last-Event-ID` continues after a recent id. A
/// reader that is too slow gets a `reset` and continues with the newest events.
#[utoipa::path(
    get, path = "/events", tag = "server", operation_id = "events",
    params(Wanted, ("Last-Event-ID" = Option<u64>, Header, description = "The id of the last event that came")),
    security(("viewer" = []), ("operator" = [])),
    responses((status = 200, description = "The events", body = String, content_type = "text/event-stream"), Refusals)
)]
pub(super) async fn follow(
    State(state): State<AdminState>,
    Query(wanted): Query<Wanted>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let topics = match wanted.topics.as_deref() {
        None => Topics::ALL,
        Some(list) => Topics::parse(list).map_err(|unknown| {
            let known = Topic::names(", ");
            ApiError::new(StatusCode::BAD_REQUEST, format!("there is no topic {unknown:?}; there are {known}"))
        })?,
    };
    // An unknown id counts as an expired one.
    let last = headers.get(LAST_EVENT_ID).map(|id| id.to_str().ok().and_then(|id| id.parse().ok()).unwrap_or(0));
    let Some(stream) = events::subscribe(&state, topics, last).await else {
        let detail = "there are too many readers of events; close one, or come back later";
        return Err(ApiError::new(StatusCode::SERVICE_UNAVAILABLE, detail).with_field(RETRY_AFTER, RETRY_SECONDS));
    };
    // Else a proxy in front keeps them until it has enough of them.
    let fields = [(CONTENT_TYPE, "text/event-stream"), (HeaderName::from_static("x-accel-buffering"), "no")];
    Ok((fields, Body::from_stream(stream)).into_response())
}
