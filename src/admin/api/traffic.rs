//! What comes into the cache, and what goes out of it.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::refusals::Refusals;
use crate::admin::server::Site;
use crate::depot::{FillView, PastFill, PastTransfer, TransferView};

/// Fills.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct FillList {
    /// Those under way, the oldest first.
    pub fills: Vec<FillView>,
    /// The last 200 that ended, the newest first.
    pub recent: Vec<PastFill>,
}

/// Transfers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TransferList {
    /// Those under way, the oldest first.
    pub transfers: Vec<TransferView>,
    /// The last 500 that ended, the newest first.
    pub recent: Vec<PastTransfer>,
}

/// Fills of the cache
#[utoipa::path(
    get, path = "/fills", tag = "traffic", operation_id = "fills",
    security(("viewer" = []), ("operator" = [])),
    responses((status = 200, description = "The fills", body = FillList), Refusals)
)]
pub(super) async fn fills(State(site): State<Site>) -> Json<FillList> {
    let depot = site.boot.depot();
    Json(FillList { fills: depot.fills(), recent: depot.past_fills() })
}

/// Transfers to clients
#[utoipa::path(
    get, path = "/transfers", tag = "traffic", operation_id = "transfers",
    security(("viewer" = []), ("operator" = [])),
    responses((status = 200, description = "The transfers", body = TransferList), Refusals)
)]
pub(super) async fn transfers(State(site): State<Site>) -> Json<TransferList> {
    Json(TransferList { transfers: site.boot.open_transfers(), recent: site.boot.past_transfers() })
}
