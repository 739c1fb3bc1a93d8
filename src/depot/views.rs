//! What operators see of fills and transfers: the admin API's JSON, which the commands read again.

use std::net::SocketAddr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::cache_state::CacheState;
use super::outcome::{FillOutcome, Outcome};
use super::protocol::Protocol;

/// A fill under way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FillView {
    /// The asset that it was begun for; others may have the same bytes.
    pub name: String,
    /// The SHA-256 of the bytes, in hex.
    pub digest: String,
    /// When it was begun.
    #[schema(value_type = String, format = DateTime)]
    pub began: Timestamp,
    /// How far it is.
    pub phase: FillPhase,
    /// Bytes that are here, those of an earlier run included.
    pub bytes: u64,
    /// Bytes in all, where that is known.
    pub size: Option<u64>,
    /// Bytes that came from origins, those that had to come twice included.
    pub received: u64,
    /// Bytes a second from origins, over the last seconds.
    pub rate: u64,
}

/// How far a fill is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum FillPhase {
    /// It waits for its turn, or for the origin's first answer.
    Waiting,
    /// Bytes are coming.
    Filling,
    /// All bytes are here, and are being proven and brought to the disk.
    Proving,
}

/// A fill that ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PastFill {
    /// The asset that it was begun for.
    pub name: String,
    /// The SHA-256 that its bytes were to have, in hex.
    pub digest: String,
    /// When it ended.
    #[schema(value_type = String, format = DateTime)]
    pub ended: Timestamp,
    /// How long it took.
    pub seconds: f64,
    /// How it ended.
    pub outcome: FillOutcome,
    /// Bytes that came from origins.
    pub received: u64,
    /// What there is to say besides.
    pub detail: Option<String>,
}

/// A transfer under way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TransferView {
    /// Tells it from every other transfer of this process.
    pub id: u64,
    /// What it speaks.
    pub protocol: Protocol,
    /// The client's address and port.
    #[schema(value_type = String)]
    pub peer: SocketAddr,
    /// The host that was last seen at this address. The depot knows none: see [`crate::boot::Boot::open_transfers`].
    pub host: Option<String>,
    /// The asset's name, or what stands for a thing that is no asset.
    pub name: String,
    /// When it began.
    #[schema(value_type = String, format = DateTime)]
    pub began: Timestamp,
    /// Payload bytes that went out, repeats not included.
    pub sent: u64,
    /// The whole asset's size in bytes, where it is known; the transfer may be of a part.
    pub size: Option<u64>,
    /// Where its bytes come from, where it has come to any.
    pub cache: Option<CacheState>,
}

/// A transfer that ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PastTransfer {
    /// What it was.
    #[serde(flatten)]
    pub transfer: TransferView,
    /// How it ended.
    pub outcome: Outcome,
    /// When it ended.
    #[schema(value_type = String, format = DateTime)]
    pub ended: Timestamp,
    /// How long it took.
    pub seconds: f64,
}
