//! The status of jobs.

use jiff::Timestamp;
use strum::{EnumString, IntoStaticStr, VariantNames};

/// A job, with its progress.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobStatus {
    /// Unique in this process.
    pub id: u64,
    /// What kind of work it is.
    pub kind: JobKind,
    /// What it works on, as a text.
    pub what: String,
    /// Its state.
    pub state: JobState,
    /// When it began.
    pub began: Timestamp,
    /// When it ended.
    pub ended: Option<Timestamp>,
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AssetCounts {
    /// In all.
    pub total: usize,
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
    pub done: u64,
}

/// One asset of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ItemStatus {
    /// Its name, or the digest of a blob that the catalog does not have.
    pub name: String,
    /// Its state.
    pub state: ItemState,
    /// Bytes of it that are done.
    pub bytes: u64,
    /// Its size in bytes, if known.
    pub size: Option<u64>,
    /// Why it failed.
    pub error: Option<String>,
    /// Whether its cached copy was corrupt or gone, so that it is fetched again. Only for a preload that verifies.
    pub rotted: bool,
}

/// What kind of work a job is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr, EnumString, VariantNames)]
#[strum(serialize_all = "kebab-case")]
pub enum JobKind {
    /// Assets are brought into the cache.
    Preload,
    /// Some blobs are hashed again.
    Verify,
    /// All blobs are hashed again.
    Scrub,
}

/// The state of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr, EnumString, VariantNames)]
#[strum(serialize_all = "kebab-case")]
pub enum JobState {
    /// It runs.
    Running,
    /// All of it is done.
    Done,
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
    Waiting,
    /// It is being worked on.
    Running,
    /// It is done.
    Done,
    /// It failed.
    Failed,
    /// The job ended before it was done.
    Cancelled,
}

/// The state of an asset in a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr, EnumString, VariantNames)]
#[strum(serialize_all = "kebab-case")]
pub enum PlannedState {
    /// It is in the cache, verified.
    Cached,
    /// It is being fetched.
    Filling,
    /// It is not cached.
    Missing,
}

/// Something that happened to a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JobEvent {
    /// It started, progressed or ended; without its items. At most about twice a second for each job.
    Job(JobStatus),
    /// One of its items changed its state.
    Item {
        /// The job's number.
        job: u64,
        /// The item.
        item: ItemStatus,
    },
}

impl JobKind {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

impl JobState {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}
