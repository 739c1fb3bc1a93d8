//! The fills under way as operators see them, and the last that ended.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use tokio::sync::broadcast;

use super::Depot;
use super::events::{Events, FillEvent};
use super::fill::Fill;
use super::views::{FillRecord, FillStatus};

/// Fills that ended and are remembered.
const REMEMBERED: usize = 200;

/// What became of fills.
pub(super) struct History {
    past: Mutex<VecDeque<FillRecord>>,
    events: Events<FillEvent>,
}

impl History {
    /// Nothing yet.
    pub(super) fn new() -> Self {
        Self { past: Mutex::default(), events: Events::new() }
    }

    /// A fill begins.
    pub(super) fn began(&self, fill: &Fill) {
        if let Some(view) = fill.view() {
            self.events.tell(FillEvent::Began(view));
        }
    }

    /// A fill ended.
    pub(super) fn ended(&self, fill: FillRecord) {
        {
            let mut past = self.past.lock().unwrap_or_else(PoisonError::into_inner);
            if past.len() == REMEMBERED {
                past.pop_back();
            }
            past.push_front(fill.clone());
        }
        self.events.tell(FillEvent::Ended(fill));
    }
}

impl Depot {
    /// The fills under way or waiting for their turn, the oldest first.
    pub fn fills(&self) -> Vec<FillStatus> {
        let mut fills: Vec<_> = self.filling().values().cloned().collect();
        fills.sort_unstable_by_key(|fill| fill.id());
        fills.iter().filter_map(|fill| fill.view()).collect()
    }

    /// The last 200 fills that ended, the newest first.
    pub fn past_fills(&self) -> Vec<FillRecord> {
        self.shared.history.past.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    /// Which fills begin and end from now on.
    pub fn fill_events(&self) -> broadcast::Receiver<FillEvent> {
        self.shared.history.events.subscribe()
    }
}
