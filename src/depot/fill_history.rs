//! The last fills that ended, and the events of fills.

use std::collections::VecDeque;

use parking_lot::Mutex;
use tokio::sync::broadcast;

use super::events::{Events, FillEvent};
use super::fill::Fill;
use super::status::FillRecord;

/// Ended fills that are kept.
const CAPACITY: usize = 200;

/// The last fills that ended.
pub(super) struct FillHistory {
    past: Mutex<VecDeque<FillRecord>>,
    events: Events<FillEvent>,
}

impl FillHistory {
    /// An empty history.
    pub(super) fn new() -> Self {
        Self { past: Mutex::default(), events: Events::new() }
    }

    /// Publishes the start of a fill.
    pub(super) fn started(&self, fill: &Fill) {
        if let Some(status) = fill.status() {
            self.events.publish(FillEvent::Began(status));
        }
    }

    /// Adds a fill that ended.
    pub(super) fn ended(&self, fill: FillRecord) {
        {
            let mut past = self.past.lock();
            if past.len() == CAPACITY {
                past.pop_back();
            }
            past.push_front(fill.clone());
        }
        self.events.publish(FillEvent::Ended(fill));
    }

    /// The ended fills, newest first.
    pub(super) fn past(&self) -> Vec<FillRecord> {
        self.past.lock().iter().cloned().collect()
    }

    /// Subscribes to the starts and ends of fills.
    pub(super) fn subscribe(&self) -> broadcast::Receiver<FillEvent> {
        self.events.subscribe()
    }
}
