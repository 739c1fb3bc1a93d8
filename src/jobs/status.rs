//! The status of jobs, for operators.

use jiff::Timestamp;
use strum::{EnumString, IntoStaticStr, VariantNames};

use super::check_row::CheckRow;

/// A job and its progress.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobStatus {
    /// Unique within this process.
    pub id: u64,
    /// The kind of work.
    pub kind: JobKind,
    /// The selection, as text.
    pub what: String,
    /// The state.
    pub state: JobState,
    /// When it started.
    pub began: Timestamp,
    /// When it ended. `None` while it runs.
    pub ended: Option<Timestamp>,
    /// The numbers of its assets.
    pub assets: AssetCounts,
    /// The bytes of its assets.
    pub bytes: ByteCounts,
    /// Bytes per second over the last seconds; 0 after the end.
    pub rate: u64,
    /// The items; empty in lists. The last 10 ended jobs keep all items, older ones only those that failed.
    pub items: Vec<ItemStatus>,
    /// The findings of a check; empty in lists. The last 10 ended jobs keep all, older ones only those that failed.
    pub checks: Vec<CheckRow>,
}

/// The numbers of assets of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AssetCounts {
    /// All.
    pub total: usize,
    /// Those done.
    pub done: usize,
    /// Those failed.
    pub failed: usize,
}

/// The bytes of the assets of a job. Bytes of assets with the same digest count once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ByteCounts {
    /// All bytes. `None` if a size is unknown.
    pub total: Option<u64>,
    /// Bytes done, including those cached before the job started.
    pub done: u64,
}

/// One asset of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ItemStatus {
    /// The name, or the digest of a blob that is not in the catalog.
    pub name: String,
    /// The state.
    pub state: ItemState,
    /// Bytes done.
    pub bytes: u64,
    /// The size in bytes, if it is known.
    pub size: Option<u64>,
    /// The error, if it failed.
    pub error: Option<String>,
    /// Whether the blob was corrupt, unreadable or gone, so that it is fetched again. Only set by a preload that verifies it.
    pub rotted: bool,
}

/// The kind of work of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr, EnumString, VariantNames)]
#[strum(serialize_all = "kebab-case")]
pub enum JobKind {
    /// Fetches assets into the cache.
    Preload,
    /// Verifies some blobs again.
    Verify,
    /// Verifies all blobs again.
    Scrub,
    /// Looks at what booting depends on.
    Check,
}

/// The state of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr, EnumString, VariantNames)]
#[strum(serialize_all = "kebab-case")]
pub enum JobState {
    /// The job is running.
    Running,
    /// All items are done.
    Done,
    /// At least one item failed.
    Failed,
    /// An operator cancelled the job.
    Cancelled,
}

/// The state of an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr, EnumString, VariantNames)]
#[strum(serialize_all = "kebab-case")]
pub enum ItemState {
    /// The item has not started.
    Waiting,
    /// The item is running.
    Running,
    /// The item is done.
    Done,
    /// The item failed.
    Failed,
    /// The job ended before the item was done.
    Cancelled,
}

/// The state of an asset in a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr, EnumString, VariantNames)]
#[strum(serialize_all = "kebab-case")]
pub enum PlannedState {
    /// It is cached.
    Cached,
    /// It is on the disk and unverified: it is hashed, not fetched.
    Unverified,
    /// A fill of it is active.
    Filling,
    /// It is not cached.
    Missing,
}

/// An event of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JobEvent {
    /// The job started, made progress or ended; without items. About two per second for each job.
    Job(JobStatus),
    /// An item changed its state.
    Item {
        /// The job's id.
        job: u64,
        /// The item.
        item: ItemStatus,
    },
}

impl JobKind {
    /// The word in logs and in the API.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

impl JobState {
    /// The word in logs and in the API.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}
