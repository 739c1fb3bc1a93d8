//! How jobs stand, for operators.

use jiff::Timestamp;
use strum::{EnumString, IntoStaticStr, VariantNames};

/// A job, and how far it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobStatus {
    /// Tells it from every other of this process.
    pub id: u64,
    /// What kind of work it is.
    pub kind: JobKind,
    /// What it is of, in words.
    pub what: String,
    /// How it stands.
    pub state: JobState,
    /// When it began.
    pub began: Timestamp,
    /// When it ended.
    pub ended: Option<Timestamp>,
    /// How many assets it is of.
    pub assets: AssetCounts,
    /// How many bytes it is of.
    pub bytes: ByteCounts,
    /// Bytes a second over the last seconds; 0 for what has ended.
    pub rate: u64,
    /// Each asset; left out of lists. Of jobs that ended before the last 10 that did, those that failed.
    pub items: Vec<ItemStatus>,
}

/// How many assets a job is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AssetCounts {
    /// In all.
    pub total: usize,
    /// That are done.
    pub done: usize,
    /// That failed.
    pub failed: usize,
}

/// How many bytes a job is of; what several assets have in common counts once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ByteCounts {
    /// In all, where every size is known.
    pub total: Option<u64>,
    /// That are done, what was here from the beginning included.
    pub done: u64,
}

/// One asset of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ItemStatus {
    /// Its name, or the digest of a blob that the catalog does not have.
    pub name: String,
    /// How it stands.
    pub state: ItemState,
    /// Bytes of it that are done.
    pub bytes: u64,
    /// Its size in bytes, where it is known.
    pub size: Option<u64>,
    /// Why it failed.
    pub error: Option<String>,
    /// Whether what was here of it turned out to be no good any more, or gone, and it is fetched again. Of a preload that
    /// verifies.
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

/// How a job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr, EnumString, VariantNames)]
#[strum(serialize_all = "kebab-case")]
pub enum JobState {
    /// It runs.
    Running,
    /// All of it is done.
    Done,
    /// Something of it failed.
    Failed,
    /// An operator ended it.
    Cancelled,
}

/// How one asset of a job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr, EnumString, VariantNames)]
#[strum(serialize_all = "kebab-case")]
pub enum ItemState {
    /// Its turn has not come.
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

/// What a plan says of an asset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr, EnumString, VariantNames)]
#[strum(serialize_all = "kebab-case")]
pub enum PlannedState {
    /// It is in the cache, verified.
    Cached,
    /// A fill of it is under way.
    Filling,
    /// It is not here.
    Missing,
}

/// Something that happened to a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JobEvent {
    /// It began, went on or ended; without its items. At most about twice a second for each job.
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
