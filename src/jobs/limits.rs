//! The limits of jobs.

use std::time::Duration;

/// Concurrent jobs. Each keeps its items in memory; more than a few are probably a script that runs out of control.
pub(super) const MAX_RUNNING: usize = 64;
/// Ended jobs that are kept.
pub(super) const MAX_ENDED: usize = 100;
/// Ended jobs that keep every item: a job can have an item for each asset of a large catalog. Older ones keep only the items
/// that failed.
pub(super) const MAX_DETAILED: usize = 10;
/// Events that a slow subscriber may lag behind before it misses some: all items of a job of a few thousand.
pub(super) const EVENT_CAPACITY: usize = 4096;
/// How often the progress of a job is published.
pub(super) const PROGRESS_INTERVAL: Duration = Duration::from_millis(500);
