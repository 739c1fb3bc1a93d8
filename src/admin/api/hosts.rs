//! Machines and their boots.

use axum::Json;
use axum::extract::State;
use hyper::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::refusals::Refusals;
use crate::admin::Problem;
use crate::admin::extract::Name;
use crate::admin::problem::Refusal;
use crate::admin::server::Site;
use crate::boot::MachineView;
use crate::task::blocking;

/// All machines.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct HostList {
    /// Those that were seen, the last seen first, and then the hosts that were not.
    pub hosts: Vec<MachineView>,
}

/// All machines, without their boots
#[utoipa::path(
    get, path = "/hosts", tag = "hosts", operation_id = "hosts",
    security(("viewer" = []), ("operator" = [])),
    responses((status = 200, description = "The machines", body = HostList), Refusals)
)]
pub(super) async fn list(State(site): State<Site>) -> Json<HostList> {
    Json(HostList { hosts: blocking(move || site.boot.machines()).await })
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
pub(super) async fn one(State(site): State<Site>, Name(name): Name) -> Result<Json<MachineView>, Refusal> {
    let unknown = || {
        Refusal::new(StatusCode::NOT_FOUND, "no host has this name, and no machine with this MAC or address was seen")
    };
    blocking(move || site.boot.machine(&name)).await.map(Json).ok_or_else(unknown)
}
