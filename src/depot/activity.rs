//! Transfers and fills as operators see them: the active ones, and the last that ended.

use std::collections::HashMap;
use std::time::SystemTime;

use tokio::sync::broadcast;

use super::cache_state::CacheState;
use super::events::{FillEvent, TransferEnd, TransferEvent, TransferFacts};
use super::facade::Depot;
use super::status::{FillRecord, FillStatus, TransferRecord, TransferStatus};
use super::transfer_log::TransferFeed;
use super::transfer_registry::TransferTotals;
use crate::asset::Digest;

impl Depot {
    /// Subscribes to the starts and ends of transfers.
    pub fn transfer_events(&self) -> broadcast::Receiver<TransferEvent> {
        self.shared.transfers.subscribe()
    }

    /// Follows the transfers from now on. The follower logs each one that ends ([`super::log_transfer`]); there is only one.
    pub fn follow_transfers(&self) -> TransferFeed {
        self.shared.transfers.follow()
    }

    /// The active transfers, oldest first, with the bytes sent so far.
    pub fn open_transfers(&self) -> Vec<TransferStatus> {
        let active = self.shared.transfers.active();
        active.iter().map(|transfer| self.transfer_view(&transfer.facts, transfer.sent(), transfer.cache())).collect()
    }

    /// The payload bytes that each active transfer has sent so far, by transfer id.
    pub fn sent_so_far(&self) -> HashMap<u64, u64> {
        self.shared.transfers.active().iter().map(|transfer| (transfer.facts.id, transfer.sent())).collect()
    }

    /// The totals of all transfers, including active ones.
    pub fn transfer_totals(&self) -> TransferTotals {
        self.shared.transfers.totals()
    }

    /// The last 500 transfers that ended, newest first.
    pub fn past_transfers(&self) -> Vec<TransferRecord> {
        let past = self.shared.transfers.past();
        past.iter().map(|(facts, end)| self.past_transfer(facts, end)).collect()
    }

    /// The view of a transfer that ended.
    pub fn past_transfer(&self, facts: &TransferFacts, end: &TransferEnd) -> TransferRecord {
        TransferRecord {
            transfer: self.transfer_view(facts, end.sent, end.cache),
            outcome: end.outcome,
            ended: facts.began.checked_add(end.took).unwrap_or_else(SystemTime::now),
            took: end.took,
        }
    }

    /// The view of a transfer that has sent `sent` bytes.
    pub fn transfer_view(&self, facts: &TransferFacts, sent: u64, cache: Option<CacheState>) -> TransferStatus {
        TransferStatus {
            id: facts.id,
            protocol: facts.protocol,
            peer: facts.peer,
            host: None,
            name: facts.name.clone(),
            began: facts.began,
            sent,
            size: self.find(&facts.name).and_then(|asset| self.known_size(&asset)),
            cache,
        }
    }

    /// Subscribes to the starts and ends of fills.
    pub fn fill_events(&self) -> broadcast::Receiver<FillEvent> {
        self.shared.history.subscribe()
    }

    /// The active fills, including those that wait for a permit, oldest first.
    pub fn fills(&self) -> Vec<FillStatus> {
        let mut fills: Vec<_> = self.active_fills().values().cloned().collect();
        fills.sort_unstable_by_key(|fill| fill.id());
        fills.iter().filter_map(|fill| fill.status()).collect()
    }

    /// The last 200 fills that ended, newest first.
    pub fn past_fills(&self) -> Vec<FillRecord> {
        self.shared.history.past()
    }

    /// A count that increases while the fill of this digest makes progress: its own received and hashed bytes, or, while it
    /// waits for a permit, those of all running fills. `None` if there is no such fill. Memory only.
    pub fn fill_activity(&self, digest: &Digest) -> Option<u64> {
        let fills = self.active_fills();
        let fill = fills.get(digest)?;
        Some(if fill.is_running() { fill.activity() } else { fills.values().map(|fill| fill.activity()).sum() })
    }
}
