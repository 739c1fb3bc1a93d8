//! How fills and transfers stand, for operators.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use strum::{EnumString, IntoStaticStr, VariantNames};

use super::{CacheState, FillOutcome, Outcome, Protocol};
use crate::asset::{AssetName, Digest};

/// An active fill.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FillStatus {
    /// The asset that started it; others may have the same digest.
    pub name: AssetName,
    /// The SHA-256 of the bytes.
    pub digest: Digest,
    /// When it started.
    pub began: SystemTime,
    /// Its phase.
    pub phase: FillPhase,
    /// Bytes in the partial, those of an earlier run included.
    pub bytes: u64,
    /// Bytes in all, if known.
    pub size: Option<u64>,
    /// Bytes received from origins, repeats included.
    pub received: u64,
    /// Bytes per second from origins, over the last seconds.
    pub rate: u64,
}

/// The phase of a fill.
#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr, EnumString, VariantNames)]
#[strum(serialize_all = "kebab-case")]
pub enum FillPhase {
    /// It waits in the queue, or for the first response of the origin.
    Waiting,
    /// Bytes are coming.
    Filling,
    /// All bytes have come; they are being hashed and synced to the disk.
    Proving,
}

/// A fill that has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FillRecord {
    /// The asset that started it.
    pub name: AssetName,
    /// The expected SHA-256.
    pub digest: Digest,
    /// When it ended.
    pub ended: SystemTime,
    /// How long it took.
    pub took: Duration,
    /// Its outcome.
    pub outcome: FillOutcome,
    /// Bytes received from origins.
    pub received: u64,
    /// More about the outcome.
    pub detail: Option<String>,
}

/// An active transfer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransferStatus {
    /// Unique in this process.
    pub id: u64,
    /// The protocol.
    pub protocol: Protocol,
    /// The client's address and port.
    pub peer: SocketAddr,
    /// The host that was last seen at this address. The depot knows none: see [`crate::boot::Boot::open_transfers`].
    pub host: Option<String>,
    /// The asset's name, or a name for a script, a host's file or an unknown request.
    pub name: String,
    /// When it started.
    pub began: SystemTime,
    /// Payload bytes sent, repeats not included.
    pub sent: u64,
    /// The size of the whole asset in bytes, if known. The transfer may be of a part.
    pub size: Option<u64>,
    /// Where its bytes come from; `None` before the first.
    pub cache: Option<CacheState>,
}

/// A transfer that has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransferRecord {
    /// The transfer.
    pub transfer: TransferStatus,
    /// Its outcome.
    pub outcome: Outcome,
    /// When it ended.
    pub ended: SystemTime,
    /// How long it took.
    pub took: Duration,
}

/// A time in whole microseconds, as the API and the ledger have it.
pub(crate) fn moment(time: SystemTime) -> Timestamp {
    let micros = |time: Timestamp| Timestamp::from_microsecond(time.as_microsecond());
    Timestamp::try_from(time).and_then(micros).unwrap_or(Timestamp::UNIX_EPOCH)
}
