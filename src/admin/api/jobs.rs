//! Jobs: long work, begun, looked at and ended.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use hyper::StatusCode;
use hyper::header::RETRY_AFTER;

use super::refusals::Refusals;
use crate::admin::extract::{Content, Name};
use crate::admin::problem::Refusal;
use crate::admin::state::AdminState;
use crate::api::{JobList, JobView, Plan, PreloadOrder, Problem};
use crate::jobs::{CancelError, SelectionError, StartError, Task};
use crate::task::blocking;
use crate::transport::RETRY_SECONDS;

/// A job that was begun.
pub(super) type Started = (StatusCode, Json<JobView>);

/// Brings assets into the cache, or says what that would mean
#[utoipa::path(
    post, path = "/preload", tag = "jobs", operation_id = "preload", request_body = PreloadOrder,
    security(("operator" = [])),
    responses(
        (status = 200, description = "With `dry_run`: what it would mean", body = Plan),
        (status = 202, description = "The job that does it", body = JobView),
        (status = 404, description = "There are no such assets, releases, profiles or hosts; `errors` names them all",
            body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "A host or profile names what is not to be had now", body = Problem,
            content_type = "application/problem+json"),
        (status = 415, description = "The content is no JSON", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "The content is no order, or one of nothing", body = Problem,
            content_type = "application/problem+json"),
        Refusals
    )
)]
pub(super) async fn preload(
    State(state): State<AdminState>,
    Content(order): Content<PreloadOrder>,
) -> Result<Response, Refusal> {
    if !order.dry_run {
        return start(&state, Task::from(&order)).await.map(axum::response::IntoResponse::into_response);
    }
    let plan = state.jobs.plan(&order.selection()).await;
    plan.map(|plan| Json(Plan::from(plan)).into_response()).map_err(|error| unselected(&error))
}

/// Hashes every blob of the cache again
///
/// Where a job does so already, that one is the answer.
#[utoipa::path(
    post, path = "/scrub", tag = "jobs", operation_id = "scrub",
    security(("operator" = [])),
    responses((status = 202, description = "The job that does it", body = JobView), Refusals)
)]
pub(super) async fn scrub(State(state): State<AdminState>) -> Result<Started, Refusal> {
    start(&state, Task::Scrub).await
}

/// All jobs, without their items
#[utoipa::path(
    get, path = "/jobs", tag = "jobs", operation_id = "jobs",
    security(("viewer" = []), ("operator" = [])),
    responses((status = 200, description = "The jobs", body = JobList), Refusals)
)]
pub(super) async fn list(State(state): State<AdminState>) -> Json<JobList> {
    Json(JobList { jobs: state.jobs.list().into_iter().map(Into::into).collect() })
}

/// One job
#[utoipa::path(
    get, path = "/jobs/{id}", tag = "jobs", operation_id = "job",
    params(("id" = u64, Path, description = "The job's number")),
    security(("viewer" = []), ("operator" = [])),
    responses(
        (status = 200, description = "The job", body = JobView),
        (status = 404, description = "There is no such job, or none any more", body = Problem,
            content_type = "application/problem+json"),
        Refusals
    )
)]
pub(super) async fn one(State(state): State<AdminState>, Name(id): Name<u64>) -> Result<Json<JobView>, Refusal> {
    let unknown = || Refusal::new(StatusCode::NOT_FOUND, CancelError::Unknown(id).to_string());
    blocking(move || state.jobs.get(id)).await.map(|job| Json(job.into())).ok_or_else(unknown)
}

/// Ends a job
///
/// What clients or releases want as well goes on.
#[utoipa::path(
    delete, path = "/jobs/{id}", tag = "jobs", operation_id = "cancel_job",
    params(("id" = u64, Path, description = "The job's number")),
    security(("operator" = [])),
    responses(
        (status = 200, description = "The job, which ends", body = JobView),
        (status = 404, description = "There is no such job, or none any more", body = Problem,
            content_type = "application/problem+json"),
        (status = 409, description = "It has ended already", body = Problem, content_type = "application/problem+json"),
        Refusals
    )
)]
pub(super) async fn cancel(State(state): State<AdminState>, Name(id): Name<u64>) -> Result<Json<JobView>, Refusal> {
    state.jobs.cancel(id).map(|job| Json(job.into())).map_err(|error| {
        let status = match error {
            CancelError::Unknown(_) => StatusCode::NOT_FOUND,
            CancelError::Ended { .. } => StatusCode::CONFLICT,
        };
        Refusal::new(status, error.to_string())
    })
}

/// Begins a job.
pub(super) async fn start(state: &AdminState, task: Task) -> Result<Started, Refusal> {
    let jobs = state.jobs.clone();
    match blocking(move || jobs.start(task)).await {
        Ok(job) => Ok((StatusCode::ACCEPTED, Json(job.into()))),
        Err(StartError::Selection(error)) => Err(unselected(&error)),
        Err(error @ StartError::TooMany) => {
            let refusal = Refusal::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string());
            Err(refusal.with_field(RETRY_AFTER, RETRY_SECONDS))
        }
    }
}

fn unselected(error: &SelectionError) -> Refusal {
    match error {
        SelectionError::Empty => Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, error.to_string()),
        SelectionError::Unresolved { .. } => Refusal::new(StatusCode::CONFLICT, error.to_string()),
        SelectionError::Unknown(unknown) => {
            let errors = unknown.iter().map(ToString::to_string).collect();
            Refusal::new(StatusCode::NOT_FOUND, error.to_string()).with_errors(errors)
        }
    }
}
