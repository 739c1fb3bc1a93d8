//! How fills and transfers stand, for operators.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use strum::{EnumString, IntoStaticStr, VariantNames};

use super::{CacheState, FillOutcome, Outcome, Protocol};
use crate::asset::{AssetName, Digest};

/// A fill under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FillStatus {
    /// The asset that it was begun for; others may have the same bytes.
    pub name: AssetName,
    /// The SHA-256 of the bytes.
    pub digest: Digest,
    /// When it was begun.
    pub began: SystemTime,
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr, EnumString, VariantNames)]
#[strum(serialize_all = "kebab-case")]
pub enum FillPhase {
    /// It waits for its turn, or for the origin's first answer.
    Waiting,
    /// Bytes are coming.
    Filling,
    /// All bytes are here, and are being proven and brought to the disk.
    Proving,
}

/// A fill that ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FillRecord {
    /// The asset that it was begun for.
    pub name: AssetName,
    /// The SHA-256 that its bytes were to have.
    pub digest: Digest,
    /// When it ended.
    pub ended: SystemTime,
    /// How long it took.
    pub took: Duration,
    /// How it ended.
    pub outcome: FillOutcome,
    /// Bytes that came from origins.
    pub received: u64,
    /// What there is to say besides.
    pub detail: Option<String>,
}

/// A transfer under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransferStatus {
    /// Tells it from every other transfer of this process.
    pub id: u64,
    /// What it speaks.
    pub protocol: Protocol,
    /// The client's address and port.
    pub peer: SocketAddr,
    /// The host that was last seen at this address. The depot knows none: see [`crate::boot::Boot::open_transfers`].
    pub host: Option<String>,
    /// The asset's name, or what stands for a thing that is no asset.
    pub name: String,
    /// When it began.
    pub began: SystemTime,
    /// Payload bytes that went out, repeats not included.
    pub sent: u64,
    /// The whole asset's size in bytes, where it is known; the transfer may be of a part.
    pub size: Option<u64>,
    /// Where its bytes come from, where it has come to any.
    pub cache: Option<CacheState>,
}

/// A transfer that ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransferRecord {
    /// What it was.
    pub transfer: TransferStatus,
    /// How it ended.
    pub outcome: Outcome,
    /// When it ended.
    pub ended: SystemTime,
    /// How long it took.
    pub took: Duration,
}

/// A time as the API tells it: whole microseconds, which is what transfers differ by.
pub(crate) fn moment(time: SystemTime) -> Timestamp {
    let micros = |time: Timestamp| Timestamp::from_microsecond(time.as_microsecond());
    Timestamp::try_from(time).and_then(micros).unwrap_or(Timestamp::UNIX_EPOCH)
}
