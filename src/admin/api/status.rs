//! The server as a whole: what it is, where it listens, how full its cache is, and how its origins fare.

use std::net::SocketAddr;

use axum::Json;
use axum::extract::State;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::refusals::Refusals;
use crate::admin::CatalogView;
use crate::admin::server::Site;
use crate::depot::ByProtocol;
use crate::origin::OriginView;
use crate::task::blocking;

/// The server as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Status {
    /// The version of the program.
    pub version: String,
    /// The revision that it was built from.
    pub revision: String,
    /// When it started.
    pub started: Timestamp,
    /// When this was said.
    pub now: Timestamp,
    /// Whether nothing stands in the way of any machine.
    pub ready: bool,
    /// What does, a sentence each; also that operators' pins cannot be read, which keeps no machine from booting.
    pub troubles: Vec<String>,
    /// Where it listens.
    pub listeners: Vec<Listener>,
    /// The cache.
    pub cache: CacheView,
    /// The catalog that is in force.
    pub catalog: CatalogView,
    /// Transfers to clients.
    pub transfers: Active,
    /// Fills of the cache.
    pub fills: Active,
    /// The sums since the start.
    pub totals: Totals,
    /// The origins that were asked for anything.
    pub origins: Vec<OriginView>,
}

/// One address that the server listens on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Listener {
    /// `http`, `https`, `tftp` or `admin`.
    pub protocol: String,
    /// The address, with the port that the system chose.
    #[schema(value_type = String)]
    pub address: SocketAddr,
}

/// How full the cache is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CacheView {
    /// Its directory.
    pub dir: String,
    /// The most bytes that it may take.
    pub limit: u64,
    /// Bytes that the file system still gives, where it says.
    pub free: Option<u64>,
    /// Bytes that are left free on the file system.
    pub min_free: u64,
    /// Proven blobs.
    pub proven: Amount,
    /// Partials, of fills under way or left from earlier ones.
    pub partial: Amount,
    /// Blobs that rotted.
    pub quarantined: Amount,
    /// Whether blobs can be added.
    pub writable: bool,
    /// Why not.
    pub trouble: Option<String>,
}

/// Some blobs of the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Amount {
    /// Their bytes.
    pub bytes: u64,
    /// How many they are.
    pub entries: u64,
}

/// How many of something are under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Active {
    /// How many.
    pub active: u64,
}

/// The sums since the start, those of what is under way included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Totals {
    /// Payload bytes sent to clients.
    pub sent: ByProtocol,
    /// Bytes received from origins.
    pub received: u64,
    /// Transfers to clients.
    pub transfers: ByProtocol,
}

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
    let (origins, totals, troubles) = (depot.origins(), depot.transfer_totals(), boot.troubles());
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
            sent: totals.sent,
            received: origins.iter().map(|origin| origin.received).sum(),
            transfers: totals.transfers,
        },
        origins,
    }
}
