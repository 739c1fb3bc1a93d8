//! Fills and transfers: what comes into the cache, and what goes out of it.

use std::net::SocketAddr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::text;
use super::word::{schema_of_words, words};
use crate::asset::Digest;
use crate::depot::{
    CacheState, FillOutcome, FillPhase, FillRecord, FillStatus, Outcome, Protocol, TransferRecord, TransferStatus,
    timestamp,
};

/// A fill under way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FillView {
    /// The asset that it was begun for; others may have the same bytes.
    pub name: String,
    /// The SHA-256 of the bytes, in hex.
    #[serde(with = "text")]
    #[schema(value_type = String)]
    pub digest: Digest,
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

/// A fill that ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PastFill {
    /// The asset that it was begun for.
    pub name: String,
    /// The SHA-256 that its bytes were to have, in hex.
    #[serde(with = "text")]
    #[schema(value_type = String)]
    pub digest: Digest,
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
    /// The host that was last seen at this address.
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

impl From<FillStatus> for FillView {
    fn from(fill: FillStatus) -> Self {
        let FillStatus { name, digest, began, phase, bytes, size, received, rate } = fill;
        Self { name: name.to_string(), digest, began: timestamp(began), phase, bytes, size, received, rate }
    }
}

impl From<FillRecord> for PastFill {
    fn from(fill: FillRecord) -> Self {
        let FillRecord { name, digest, ended, took, outcome, received, detail } = fill;
        let (name, ended, seconds) = (name.to_string(), timestamp(ended), took.as_secs_f64());
        Self { name, digest, ended, seconds, outcome, received, detail }
    }
}

impl From<TransferStatus> for TransferView {
    fn from(transfer: TransferStatus) -> Self {
        let TransferStatus { id, protocol, peer, host, name, began, sent, size, cache } = transfer;
        Self { id, protocol, peer, host, name, began: timestamp(began), sent, size, cache }
    }
}

impl From<TransferRecord> for PastTransfer {
    fn from(past: TransferRecord) -> Self {
        let TransferRecord { transfer, outcome, ended, took } = past;
        Self { transfer: transfer.into(), outcome, ended: timestamp(ended), seconds: took.as_secs_f64() }
    }
}

words! {
    FillPhase as "FillPhase": "How far a fill is.";
    FillOutcome as "FillOutcome": "How a fill ended; the contract's words, in logs and metrics.";
    Protocol as "Protocol": "The protocol a transfer speaks.";
}

// The ledger of boots keeps these in its file, too.
schema_of_words! {
    Outcome as "Outcome": "How a transfer ended.";
    CacheState as "CacheState": "Where a transfer's bytes came from, in the order of how far that is.";
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;

    #[test]
    fn ended_transfer_is_sent_in_its_own_words() {
        let transfer = TransferStatus {
            id: 7,
            protocol: Protocol::Tftp,
            peer: "[2001:db8::7]:4000".parse().unwrap(),
            host: None,
            name: "x".to_owned(),
            began: SystemTime::UNIX_EPOCH,
            sent: 0,
            size: None,
            cache: None,
        };
        let took = Duration::from_millis(1500);
        let ended = SystemTime::UNIX_EPOCH + took;
        let past = TransferRecord { transfer, outcome: Outcome::OriginFailed, ended, took };
        let sent = serde_json::json!({
            "id": 7, "protocol": "tftp", "peer": "[2001:db8::7]:4000", "host": null, "name": "x",
            "began": "1970-01-01T00:00:00Z", "sent": 0, "size": null, "cache": null, "outcome": "origin-failed",
            "ended": "1970-01-01T00:00:01.5Z", "seconds": 1.5,
        });
        assert_eq!(serde_json::to_value(PastTransfer::from(past)).unwrap(), sent);
    }
}
