//! The endpoints of fills and transfers.

use axum::Json;
use axum::extract::State;

use super::refusals::Refusals;
use crate::admin::state::AdminState;
use crate::api::{FillList, TransferList};

/// Fills of the cache
#[utoipa::path(
    get, path = "/fills", tag = "traffic", operation_id = "fills",
    security(("viewer" = []), ("operator" = [])),
    responses((status = 200, description = "The fills", body = FillList), Refusals)
)]
pub(super) async fn fills(State(state): State<AdminState>) -> Json<FillList> {
    let depot = state.boot.depot();
    let fills = depot.fills().into_iter().map(Into::into).collect();
    let recent = depot.past_fills().into_iter().map(Into::into).collect();
    Json(FillList { fills, recent })
}

/// Transfers to clients
#[utoipa::path(
    get, path = "/transfers", tag = "traffic", operation_id = "transfers",
    security(("viewer" = []), ("operator" = [])),
    responses((status = 200, description = "The transfers", body = TransferList), Refusals)
)]
pub(super) async fn transfers(State(state): State<AdminState>) -> Json<TransferList> {
    let transfers = state.boot.open_transfers().into_iter().map(Into::into).collect();
    let recent = state.boot.past_transfers().into_iter().map(Into::into).collect();
    Json(TransferList { transfers, recent })
}
