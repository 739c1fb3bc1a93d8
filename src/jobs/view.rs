//! What operators see of jobs and what they order: the admin API's JSON, which the commands read and write as well.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::selection::Selection;
use super::task::Task;

/// An order to preload: the body of `POST preload`. What is left out is empty or as [`PreloadOrder::default`] says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "they are independent of one another, as the JSON is")]
pub struct PreloadOrder {
    /// Assets' names, or globs of them: `*` stands for anything but a slash, `**` for anything.
    pub assets: Vec<String>,
    /// Releases: all their assets.
    pub releases: Vec<String>,
    /// Profiles: what they name once every active release is live.
    pub profiles: Vec<String>,
    /// Hosts: what their scripts and files name once every active release is live, and their firmware file.
    pub hosts: Vec<String>,
    /// Everything in the catalog.
    pub all: bool,
    /// Hash again what is here, and fetch what rotted.
    pub verify: bool,
    /// Go on after a failure; on by default.
    pub keep_going: bool,
    /// Say what it would mean, and do nothing.
    pub dry_run: bool,
}

impl Default for PreloadOrder {
    fn default() -> Self {
        Self {
            assets: Vec::new(),
            releases: Vec::new(),
            profiles: Vec::new(),
            hosts: Vec::new(),
            all: false,
            verify: false,
            keep_going: true,
            dry_run: false,
        }
    }
}

impl From<&PreloadOrder> for Task {
    fn from(order: &PreloadOrder) -> Self {
        Self::Preload { selection: order.selection(), verify: order.verify, keep_going: order.keep_going }
    }
}

impl PreloadOrder {
    /// What it is of.
    pub fn selection(&self) -> Selection {
        Selection {
            assets: self.assets.clone(),
            releases: self.releases.clone(),
            profiles: self.profiles.clone(),
            hosts: self.hosts.clone(),
            all: self.all,
        }
    }
}

/// A job, and how far it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct JobView {
    /// Tells it from every other of this process.
    pub id: u64,
    /// What kind of work it is.
    pub kind: JobKind,
    /// What it is of, in words.
    pub what: String,
    /// How it stands.
    pub state: JobState,
    /// When it began.
    #[schema(value_type = String, format = DateTime)]
    pub began: Timestamp,
    /// When it ended.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub ended: Option<Timestamp>,
    /// How many assets it is of.
    pub assets: Assets,
    /// How many bytes it is of.
    pub bytes: Bytes,
    /// Bytes a second over the last seconds; 0 for what has ended.
    pub rate: u64,
    /// Each asset; left out of lists. Of jobs that ended before the last 10 that did, those that failed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub items: Vec<ItemView>,
}

/// How many assets a job is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct Assets {
    /// In all.
    pub total: usize,
    /// That are done.
    pub done: usize,
    /// That failed.
    pub failed: usize,
}

/// How many bytes a job is of; what several assets have in common counts once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct Bytes {
    /// In all, where every size is known.
    pub total: Option<u64>,
    /// That are done, what was here from the beginning included.
    pub done: u64,
}

/// One asset of a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ItemView {
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
    #[serde(default)]
    pub rotted: bool,
}

/// What kind of work a job is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum JobKind {
    /// Assets are brought into the cache.
    Preload,
    /// Some blobs are hashed again.
    Verify,
    /// All blobs are hashed again.
    Scrub,
}

/// How a job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum PlannedState {
    /// It is in the cache, proven.
    Proven,
    /// A fill of it is under way.
    Filling,
    /// It is not here.
    Missing,
}

/// Something that happened to a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JobEvent {
    /// It began, went on or ended; without its items. At most about twice a second for each job.
    Job(JobView),
    /// One of its items changed its state.
    Item {
        /// The job's number.
        job: u64,
        /// The item.
        item: ItemView,
    },
}

impl JobView {
    /// The same as lists show it.
    #[must_use]
    pub fn without_items(&self) -> Self {
        Self { items: Vec::new(), what: self.what.clone(), ..*self }
    }
}

impl JobKind {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Preload => "preload",
            Self::Verify => "verify",
            Self::Scrub => "scrub",
        }
    }
}

impl JobState {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}
