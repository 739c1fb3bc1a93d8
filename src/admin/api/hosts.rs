//! Machines and their boots.

use axum::Json;
use axum::extract::State;
use hyper::StatusCode;

use super::refusals::Refusals;
use crate::admin::api_error::ApiError;
use crate::admin::extract::Name;
use crate::admin::machines::Machines;
use crate::api::{HostList, MachineView, Problem};
use crate::task::blocking;

/// All machines, without their boots
#[utoipa::path(
    get, path = "/hosts", tag = "hosts", operation_id = "hosts",
    security(("viewer" = []), ("operator" = [])),
    responses((status = 200, description = "The machines", body = HostList), Refusals)
)]
pub(super) async fn list(State(machines): State<Machines>) -> Json<HostList> {
    let machines = blocking(move || machines.list()).await;
    Json(HostList { hosts: machines.into_iter().map(Into::into).collect() })
}

/// One machine with its boots
#[utoipa::path(
    get, path = "/hosts/{name}", tag = "hosts", operation_id = "host",
    params(("name" = String, Path, description = "A host's name, a MAC in any spelling, or an address")),
    security(("viewer" = []), ("operator" = [])),
    responses(
        (status = 200, description = "The machine", body = MachineView),
        (status = 404, description = "There is no such machine", body = Problem, content_type = "application/problem+json"),
        Refusals
    )
)]
pub(super) async fn one(State(machines): State<Machines>, Name(name): Name) -> Result<Json<MachineView>, ApiError> {
    let unknown = || {
        ApiError::new(StatusCode::NOT_FOUND, "no host has this name, and no machine with this MAC or address was seen")
    };
    blocking(move || machines.find(&name)).await.map(|machine| Json(machine.into())).ok_or_else(unknown)
}
