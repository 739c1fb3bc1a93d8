//! The router without a listener and a guard, for commands that do the work of the server in their own process.

use axum::Router;
use tokio_util::sync::CancellationToken;

use super::machines::Machines;
use super::router::{router, with_fallbacks};
use super::state::{AdminParts, AdminState};
use super::{api, events};
use crate::boot::Ledger;

/// Returns the router over these parts, and the task that finds its events until `stop`. The caller may do everything.
pub fn router_without_guard(parts: AdminParts, stop: CancellationToken) -> (Router, impl Future<Output = ()> + use<>) {
    let state = AdminState::new(parts, stop.clone());
    (router(state.clone()), events::watch(state, stop))
}

/// Returns a router over a ledger that no server has open. It has the endpoints of machines alone.
pub fn ledger_router(ledger: Ledger) -> Router {
    with_fallbacks(api::machine_routes()).with_state(Machines::Kept(ledger))
}
