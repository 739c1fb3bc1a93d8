//! The endpoints of jobs.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use hyper::StatusCode;
use hyper::header::RETRY_AFTER;

use super::refusals::{NoJob, Refusals};
use crate::admin::api_error::ApiError;
use crate::admin::extract::{Content, Name};
use crate::admin::state::AdminState;
use crate::api::{CheckOrder, JobList, JobView, Plan, PreloadOrder, Problem};
use crate::depot::ReadError;
use crate::jobs::{CancelError, SelectionError, StartError, Task};
use crate::task::blocking;
use crate::transport::RETRY_SECONDS;

/// A job that was started.
pub(super) type Started = (StatusCode, Json<JobView>);

/// Fetches assets into the cache, or returns the plan for it
#[utoipa::path(
    post, path = "/preload", tag = "jobs", operation_id = "preload", request_body = PreloadOrder,
    security(("operator" = [])),
    responses(
        (status = 200, description = "With `dry_run`: the plan", body = Plan),
        (status = 202, description = "The job", body = JobView),
        (status = 404, description = "There are no such assets, releases, profiles or hosts; `errors` names them all",
            body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "A host or profile names an asset that is not available now", body = Problem,
            content_type = "application/problem+json"),
        (status = 415, description = "The content is not JSON", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "The content is not such a request, or selects nothing", body = Problem,
            content_type = "application/problem+json"),
        Refusals
    )
)]
pub(super) async fn preload(
    State(state): State<AdminState>,
    Content(order): Content<PreloadOrder>,
) -> Result<Response, ApiError> {
    if !order.dry_run {
        return start(&state, Task::from(&order)).await.map(axum::response::IntoResponse::into_response);
    }
    let plan = state.jobs.plan(&order.selection()).await;
    plan.map(|plan| Json(Plan::from(plan)).into_response()).map_err(|error| selection_error(&error))
}

/// Hashes every blob of the cache again
///
/// If such a job runs already, returns that one.
#[utoipa::path(
    post, path = "/scrub", tag = "jobs", operation_id = "scrub",
    security(("operator" = [])),
    responses((status = 202, description = "The job", body = JobView), Refusals)
)]
pub(super) async fn scrub(State(state): State<AdminState>) -> Result<Started, ApiError> {
    start(&state, Task::Scrub).await
}

/// Checks what booting depends on
///
/// The server does it with its own settings, user, environment and secrets. The settings files are read again: the job shows
/// what a reload or a restart would find. `checks` of the job lists what was found. If a check of the same scope runs already,
/// returns that one.
#[utoipa::path(
    post, path = "/check", tag = "jobs", operation_id = "check", request_body = CheckOrder,
    security(("operator" = [])),
    responses(
        (status = 202, description = "The job", body = JobView),
        (status = 415, description = "The content is not JSON", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "The content is not such a request", body = Problem,
            content_type = "application/problem+json"),
        Refusals
    )
)]
pub(super) async fn check(
    State(state): State<AdminState>,
    Content(order): Content<CheckOrder>,
) -> Result<Started, ApiError> {
    start(&state, Task::Check(order.into())).await
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
        NoJob,
        Refusals
    )
)]
pub(super) async fn one(State(state): State<AdminState>, Name(id): Name<u64>) -> Result<Json<JobView>, ApiError> {
    let unknown = || ApiError::new(StatusCode::NOT_FOUND, CancelError::Unknown(id).to_string());
    blocking(move || state.jobs.get(id)).await.map(|job| Json(job.into())).ok_or_else(unknown)
}

/// Cancels a job
///
/// Fills that clients or releases also wait for go on.
#[utoipa::path(
    delete, path = "/jobs/{id}", tag = "jobs", operation_id = "cancel_job",
    params(("id" = u64, Path, description = "The job's number")),
    security(("operator" = [])),
    responses(
        (status = 200, description = "The cancelled job", body = JobView),
        NoJob,
        (status = 409, description = "It has ended already", body = Problem, content_type = "application/problem+json"),
        Refusals
    )
)]
pub(super) async fn cancel(State(state): State<AdminState>, Name(id): Name<u64>) -> Result<Json<JobView>, ApiError> {
    state.jobs.cancel(id).map(|job| Json(job.into())).map_err(|error| {
        let status = match error {
            CancelError::Unknown(_) => StatusCode::NOT_FOUND,
            CancelError::Ended { .. } => StatusCode::CONFLICT,
        };
        ApiError::new(status, error.to_string())
    })
}

/// Starts a job.
pub(super) async fn start(state: &AdminState, task: Task) -> Result<Started, ApiError> {
    let jobs = state.jobs.clone();
    jobs.prepare(&task).await.map_err(|error| selection_error(&error))?;
    match blocking(move || jobs.start(task)).await {
        Ok(job) => Ok((StatusCode::ACCEPTED, Json(job.into()))),
        Err(StartError::Selection(error)) => Err(selection_error(&error)),
        Err(error @ StartError::NoChecks) => Err(ApiError::new(StatusCode::CONFLICT, error.to_string())),
        Err(error @ StartError::TooMany) => {
            let refusal = ApiError::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string());
            Err(refusal.with_field(RETRY_AFTER, RETRY_SECONDS))
        }
    }
}

fn selection_error(error: &SelectionError) -> ApiError {
    match error {
        SelectionError::Empty => ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, error.to_string()),
        SelectionError::Source { source: ReadError::NotFound(_), .. } => {
            ApiError::new(StatusCode::NOT_FOUND, error.to_string())
        }
        SelectionError::Source { .. } => ApiError::new(StatusCode::BAD_GATEWAY, error.to_string()),
        SelectionError::Unresolved { .. } => ApiError::new(StatusCode::CONFLICT, error.to_string()),
        SelectionError::Unknown(unknown) => {
            let errors = unknown.iter().map(ToString::to_string).collect();
            ApiError::new(StatusCode::NOT_FOUND, error.to_string()).with_errors(errors)
        }
    }
}
