<<<<<<< HEAD:src/jobs/view.rs
//! The status of jobs.
=======
//! The status of jobs, for operators.
>>>>>>> trunk:src/jobs/status.rs

use jiff::Timestamp;
use strum::{EnumString, IntoStaticStr, VariantNames};

<<<<<<< HEAD:src/jobs/view.rs
/// A job, with its progress.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobStatus {
    /// Unique in this process.
=======
/// A job and its progress.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobStatus {
    /// Unique within this process.
>>>>>>> trunk:src/jobs/status.rs
    pub id: u64,
    /// The kind of work.
    pub kind: JobKind,
<<<<<<< HEAD:src/jobs/view.rs
    /// What it works on, as a text.
    pub what: String,
    /// Its state.
=======
    /// The selection, as text.
    pub what: String,
    /// The state.
>>>>>>> trunk:src/jobs/status.rs
    pub state: JobState,
    /// When it started.
    pub began: Timestamp,
    /// When it ended. `None` while it runs.
    pub ended: Option<Timestamp>,
<<<<<<< HEAD:src/jobs/view.rs
    /// Assets in it.
    pub assets: AssetCounts,
    /// Bytes in it.
    pub bytes: ByteCounts,
    /// Bytes per second over the last seconds; 0 if it has ended.
    pub rate: u64,
    /// Each asset; empty in lists. For all but the last 10 ended jobs, only assets that failed.
    pub items: Vec<ItemStatus>,
}

/// Counts of the assets of a job.
=======
    /// The numbers of its assets.
    pub assets: AssetCounts,
    /// The bytes of its assets.
    pub bytes: ByteCounts,
    /// Bytes per second over the last seconds; 0 after the end.
    pub rate: u64,
    /// The items; empty in lists. The last 10 ended jobs keep all items, older ones only those that failed.
    pub items: Vec<ItemStatus>,
}

/// The numbers of assets of a job.
>>>>>>> trunk:src/jobs/status.rs
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AssetCounts {
    /// All.
    pub total: usize,
<<<<<<< HEAD:src/jobs/view.rs
    /// Done.
    pub done: usize,
    /// Failed.
    pub failed: usize,
}

/// Counts of the bytes of a job; bytes that several assets share count once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ByteCounts {
    /// In all; `None` if a size is unknown.
    pub total: Option<u64>,
    /// Done, those cached from the start included.
=======
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
>>>>>>> trunk:src/jobs/status.rs
    pub done: u64,
}

/// One asset of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ItemStatus {
    /// The name, or the digest of a blob that is not in the catalog.
    pub name: String,
<<<<<<< HEAD:src/jobs/view.rs
    /// Its state.
=======
    /// The state.
>>>>>>> trunk:src/jobs/status.rs
    pub state: ItemState,
    /// Bytes done.
    pub bytes: u64,
<<<<<<< HEAD:src/jobs/view.rs
    /// Its size in bytes, if known.
=======
    /// The size in bytes, if it is known.
>>>>>>> trunk:src/jobs/status.rs
    pub size: Option<u64>,
    /// The error, if it failed.
    pub error: Option<String>,
<<<<<<< HEAD:src/jobs/view.rs
    /// Whether its cached copy was corrupt or gone, so that it is fetched again. Only for a preload that verifies.
=======
    /// Whether the cached blob was corrupt or gone, so that it is fetched again. Only set by a preload that verifies.
>>>>>>> trunk:src/jobs/status.rs
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
}

/// The state of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr, EnumString, VariantNames)]
#[strum(serialize_all = "kebab-case")]
pub enum JobState {
    /// The job is running.
    Running,
    /// All items are done.
    Done,
<<<<<<< HEAD:src/jobs/view.rs
    /// Some of it failed.
    Failed,
    /// An operator cancelled it.
    Cancelled,
}

/// The state of one asset of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr, EnumString, VariantNames)]
#[strum(serialize_all = "kebab-case")]
pub enum ItemState {
    /// It is queued.
=======
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
>>>>>>> trunk:src/jobs/status.rs
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
<<<<<<< HEAD:src/jobs/view.rs
    /// It is in the cache, verified.
    Cached,
    /// It is being fetched.
=======
    /// It is cached.
    Cached,
    /// A fill of it is active.
>>>>>>> trunk:src/jobs/status.rs
    Filling,
    /// It is not cached.
    Missing,
}

/// An event of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JobEvent {
<<<<<<< HEAD:src/jobs/view.rs
    /// It started, progressed or ended; without its items. At most about twice a second for each job.
=======
    /// The job started, made progress or ended; without items. About two per second for each job.
>>>>>>> trunk:src/jobs/status.rs
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
