//! The count of lost log lines.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use metrics::counter;
use parking_lot::Mutex;
use tracing::warn;
use tracing_appender::non_blocking::ErrorCounter;

/// The count of lost log lines. Cheap to clone; all clones share the count.
#[derive(Debug, Clone)]
pub struct LostLines {
    /// Lines that the full buffer dropped.
    dropped: ErrorCounter,
    /// Lines that standard error refused.
    refused: Arc<AtomicU64>,
    reported: Arc<Mutex<Reported>>,
}

#[derive(Debug, Default)]
struct Reported {
    /// The count at the last check.
    checked: u64,
    /// The count that the log has reported.
    logged: u64,
}

impl LostLines {
    /// Counts from the buffer's counter and the writer's.
    pub(super) fn new(dropped: ErrorCounter, refused: Arc<AtomicU64>) -> Self {
        Self { dropped, refused, reported: Arc::default() }
    }

    /// Returns the number of lines lost since the process began.
    pub(super) fn count(&self) -> u64 {
        self.dropped.dropped_lines() as u64 + self.refused.load(Ordering::Relaxed)
    }

    /// Sets the counter `bootdepot_log_lines_dropped_total`.
    pub(super) fn update_counter(&self) {
        counter!("bootdepot_log_lines_dropped_total").absolute(self.count());
    }

    /// Logs how many lines are missing once the log is read again. Call it every few seconds.
    pub(super) fn log_losses(&self) {
        let mut reported = self.reported.lock();
        let count = self.count();
        // While lines are still being lost, this event would be lost, too.
        if count == reported.checked && count > reported.logged {
            let lines = count - reported.logged;
            warn!(target: "bootdepot::log", lines, "log lines lost");
            if self.count() == count {
                reported.logged = count;
            }
        }
        reported.checked = count;
    }
}
