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
    /// The time of this response.
    pub now: Timestamp,
    /// Whether machines can boot: there are no problems that keep one from it.
    pub ready: bool,
    /// The problems, a sentence each; also those that keep no machine from booting: that operators' pins cannot be read, or
    /// that the disk has too little space.
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
    /// Sums since the start.
    pub totals: Totals,
    /// The origins that have had requests.
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
    /// The most bytes that it may use.
    pub limit: u64,
    /// Bytes free on the file system; null if unknown.
    pub free: Option<u64>,
    /// Bytes that are left free on the file system.
    pub min_free: u64,
    /// Verified blobs.
    pub cached: Amount,
    /// Blobs whose file is not the one that was verified: each is hashed before it is used.
    pub unverified: Amount,
    /// Whether the file system gives the same file other inode or device numbers from time to time, so that every blob is
    /// hashed again after a start.
    pub renumbers_files: bool,
    /// Partials of active and interrupted fills.
    pub partial: Amount,
    /// Corrupt blobs in quarantine.
    pub quarantined: Amount,
    /// The seals of blobs.
    pub seal: SealView,
    /// Whether the directory can be written.
    pub writable: bool,
    /// Why blobs cannot be added: the directory cannot be written, or the disk has too little space. Null if they can.
    pub trouble: Option<String>,
}

/// The seals (fs-verity) of blobs: the kernel refuses writes to a sealed blob, and verifies what it reads of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SealView {
    /// The setting `[cache] seal`: `auto`, `off` or `require`.
    pub policy: String,
    /// Whether the file system can seal files; null if that is unknown.
    pub supported: Option<bool>,
    /// Why not, and what to do about it; null if it can.
    pub reason: Option<String>,
    /// Verified blobs that are sealed.
    pub sealed: u64,
    /// Verified blobs that are not.
    pub unsealed: u64,
}

/// Some blobs of the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Amount {
    /// Their bytes.
    pub bytes: u64,
    /// How many they are.
    pub entries: u64,
}

/// How many are active.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Active {
    /// How many.
    pub active: u64,
}

/// Sums since the start, active transfers and fills included.
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

/// The requests to an origin since the server started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OriginView {
    /// The origin as metrics name it: its `match`, else the scheme and host of its sources.
    pub origin: String,
    /// Requests.
    pub requests: u64,
    /// Requests that failed, at once or midway.
    pub failures: u64,
    /// Bytes of response bodies.
    pub received: u64,
    /// When it last answered with content.
    pub last_ok: Option<Timestamp>,
    /// Its last failure.
    pub last_error: Option<OriginTrouble>,
}

/// A failure of an origin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OriginTrouble {
    /// When.
    pub at: Timestamp,
    /// The problem, without secrets.
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
