//! The status of fills and transfers, for operators.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use strum::{EnumString, IntoStaticStr, VariantNames};

use super::cache_state::CacheState;
use super::outcome::{FillOutcome, Outcome};
use super::protocol::Protocol;
use crate::asset::{AssetName, Digest};

/// An active fill.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FillStatus {
    /// The asset that the fill was started for; others may have the same bytes.
    pub name: AssetName,
    /// The SHA-256 of the bytes.
    pub digest: Digest,
    /// When the fill started.
    pub began: SystemTime,
    /// The phase.
    pub phase: FillPhase,
    /// Bytes written, including those of an earlier run.
    pub bytes: u64,
    /// The size in bytes, if it is known.
    pub size: Option<u64>,
    /// Bytes received from origins, including repeated ones.
    pub received: u64,
    /// Bytes per second from origins, over the last seconds.
    pub rate: u64,
}

/// The phase of a fill.
#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr, EnumString, VariantNames)]
#[strum(serialize_all = "kebab-case")]
pub enum FillPhase {
    /// The fill waits for a permit, or for the origin's first reply.
    Waiting,
    /// Bytes are being fetched.
    Filling,
    /// All bytes are written; they are being verified and synced to disk.
    Proving,
}

/// A fill that ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FillRecord {
    /// The asset that the fill was started for.
    pub name: AssetName,
    /// The expected SHA-256.
    pub digest: Digest,
    /// When it ended.
    pub ended: SystemTime,
    /// The duration.
    pub took: Duration,
    /// The outcome.
    pub outcome: FillOutcome,
    /// Bytes received from origins.
    pub received: u64,
    /// The error, if there was one.
    pub detail: Option<String>,
}

/// An active transfer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransferStatus {
    /// Unique within this process.
    pub id: u64,
    /// The protocol.
    pub protocol: Protocol,
    /// The client's address and port.
    pub peer: SocketAddr,
    /// The host that was last seen at this address. The depot does not set it: see [`crate::boot::Boot::open_transfers`].
    pub host: Option<String>,
    /// The asset's name, or a label for anything else.
    pub name: String,
    /// When it started.
    pub began: SystemTime,
    /// Payload bytes sent, without retransmissions.
    pub sent: u64,
    /// The size of the whole asset in bytes, if it is known; the transfer may be of a range.
    pub size: Option<u64>,
    /// Where the bytes come from. `None` if no bytes were opened yet.
    pub cache: Option<CacheState>,
}

/// A transfer that ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransferRecord {
    /// The transfer.
    pub transfer: TransferStatus,
    /// The outcome.
    pub outcome: Outcome,
    /// When it ended.
    pub ended: SystemTime,
    /// The duration.
    pub took: Duration,
}
