//! The server as a whole: what it is, where it listens, how full its cache is, and how its origins fare.

use axum::Json;
use axum::extract::State;
use jiff::Timestamp;

use super::refusals::Refusals;
use crate::admin::server::Site;
use crate::api::{Active, Amount, CacheView, OriginView, Status, Totals};
use crate::task::blocking;

/// The server as a whole
#[utoipa::path(
    get, path = "/status", tag = "server", operation_id = "status",
    security(("viewer" = []), ("operator" = [])),
    responses((status = 200, description = "How it is", body = Status), Refusals)
)]
pub(super) async fn status(State(site): State<Site>) -> Json<Status> {
    Json(blocking(move || look(&site)).await)
}

/// How the server is now. Blocks for one system call, which a disk that hangs does not answer.
pub(in crate::admin) fn look(site: &Site) -> Status {
    let (boot, depot) = (&site.boot, site.boot.depot());
    let cache = depot.cache();
    let (stats, trouble) = (cache.stats(), cache.writable().err());
    let amount = |bytes, entries: usize| Amount { bytes, entries: entries as u64 };
    let (totals, troubles) = (depot.transfer_totals(), boot.troubles());
    let origins: Vec<OriginView> = depot.origins().into_iter().map(Into::into).collect();
    Status {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        revision: option_env!("BOOTDEPOT_REVISION").unwrap_or("unknown").to_owned(),
        started: site.started,
        now: Timestamp::now(),
        ready: troubles.is_empty(),
        troubles: troubles.into_iter().chain(depot.pin_problem()).collect(),
        listeners: site.listeners.clone(),
        cache: CacheView {
            dir: cache.dir().display().to_string(),
            limit: stats.limit,
            free: Some(cache.free()).filter(|free| *free != u64::MAX),
            min_free: cache.min_free(),
            proven: amount(stats.proven_bytes, stats.proven_entries),
            partial: amount(stats.partial_bytes, stats.partial_entries),
            quarantined: amount(stats.quarantined_bytes, stats.quarantined_entries),
            writable: trouble.is_none(),
            trouble,
        },
        catalog: (site.reloading.standing)(),
        transfers: Active { active: totals.active },
        fills: Active { active: depot.fills().len() as u64 },
        totals: Totals {
            sent: totals.sent.into(),
            received: origins.iter().map(|origin| origin.received).sum(),
            transfers: totals.transfers.into(),
        },
        origins,
    }
}
