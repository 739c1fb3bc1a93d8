//! Fills of the cache and transfers to clients.

use std::net::SocketAddr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::text;
use super::word::{schema_of_words, words};
use crate::asset::Digest;
use crate::clock::timestamp;
use crate::depot::{
    CacheState, FillOutcome, FillPhase, FillRecord, FillStatus, Outcome, Protocol, TransferRecord, TransferStatus,
};

/// An active fill.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FillView {
    /// The asset that started it; others may have the same digest.
    pub name: String,
    /// The SHA-256 of the bytes, in hex.
    #[serde(with = "text")]
    #[schema(value_type = String)]
    pub digest: Digest,
    /// When it started.
    #[schema(value_type = String, format = DateTime)]
    pub began: Timestamp,
    /// Its phase.
    pub phase: FillPhase,
    /// Bytes in the partial, those of an earlier run included.
    pub bytes: u64,
    /// Bytes in all; null if unknown.
    pub size: Option<u64>,
    /// Bytes received from origins, repeats included.
    pub received: u64,
    /// Bytes per second from origins, over the last seconds.
    pub rate: u64,
}

/// A fill that has ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PastFill {
    /// The asset that started it.
    pub name: String,
    /// The expected SHA-256, in hex.
    #[serde(with = "text")]
    #[schema(value_type = String)]
    pub digest: Digest,
    /// When it ended.
    #[schema(value_type = String, format = DateTime)]
    pub ended: Timestamp,
    /// How long it took, in seconds.
    pub seconds: f64,
    /// Its outcome.
    pub outcome: FillOutcome,
    /// Bytes received from origins.
    pub received: u64,
    /// More about the outcome.
    pub detail: Option<String>,
}

/// An active transfer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TransferView {
    /// Unique in this process.
    pub id: u64,
    /// The protocol.
    pub protocol: Protocol,
    /// The client's address and port.
    #[schema(value_type = String)]
    pub peer: SocketAddr,
    /// The host that was last seen at this address.
    pub host: Option<String>,
    /// The asset's name, or a name for a script, a host's file or an unknown request.
    pub name: String,
    /// When it started.
    #[schema(value_type = String, format = DateTime)]
    pub began: Timestamp,
    /// Payload bytes sent, repeats not included.
    pub sent: u64,
    /// The size of the whole asset in bytes; null if unknown. The transfer may be of a part.
    pub size: Option<u64>,
    /// Where its bytes come from; null before the first.
    pub cache: Option<CacheState>,
}

/// A transfer that has ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PastTransfer {
    /// The transfer.
    #[serde(flatten)]
    pub transfer: TransferView,
    /// Its outcome.
    pub outcome: Outcome,
    /// When it ended.
    #[schema(value_type = String, format = DateTime)]
    pub ended: Timestamp,
    /// How long it took, in seconds.
    pub seconds: f64,
}

/// Fills.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct FillList {
    /// The active ones, the oldest first.
    pub fills: Vec<FillView>,
    /// The last 200 that ended, the newest first.
    pub recent: Vec<PastFill>,
}

/// Transfers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TransferList {
    /// The active ones, the oldest first.
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
    FillPhase as "FillPhase": "The phase of a fill.";
    FillOutcome as "FillOutcome": "The outcome of a fill, as in logs and metrics.";
    Protocol as "Protocol": "The protocol of a transfer.";
}

// The ledger of boots keeps these in its file, too.
schema_of_words! {
    Outcome as "Outcome": "The outcome of a transfer.";
    CacheState as "CacheState": "Where the bytes of a transfer came from.";
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
