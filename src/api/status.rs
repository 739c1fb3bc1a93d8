//! The server as a whole.

use std::net::SocketAddr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::CatalogView;
use crate::depot;
use crate::origin::{OriginFailure, OriginStatus};

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
    /// Cached blobs.
    pub cached: Amount,
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

/// A sum for each protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ByProtocol {
    /// HTTP, over TLS or not.
    pub http: u64,
    /// TFTP.
    pub tftp: u64,
}

/// How an origin fared since the server started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OriginView {
    /// The origin as metrics name it: its `match`, else the scheme and host of its sources.
    pub origin: String,
    /// Reads that were asked of it.
    pub requests: u64,
    /// Those that failed, at once or on the way.
    pub failures: u64,
    /// Bytes of bodies that came from it.
    pub received: u64,
    /// When it last began to give what it was asked for.
    pub last_ok: Option<Timestamp>,
    /// How it last failed.
    pub last_error: Option<OriginTrouble>,
}

/// A failure of an origin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OriginTrouble {
    /// When.
    pub at: Timestamp,
    /// What was wrong; it holds no secret.
    pub message: String,
}

impl From<depot::ByProtocol> for ByProtocol {
    fn from(sums: depot::ByProtocol) -> Self {
        Self { http: sums.http, tftp: sums.tftp }
    }
}

impl From<OriginStatus> for OriginView {
    fn from(status: OriginStatus) -> Self {
        let OriginStatus { origin, requests, failures, received, last_ok, last_error } = status;
        Self { origin, requests, failures, received, last_ok, last_error: last_error.map(Into::into) }
    }
}

impl From<OriginFailure> for OriginTrouble {
    fn from(failure: OriginFailure) -> Self {
        Self { at: failure.at, message: failure.message }
    }
}
