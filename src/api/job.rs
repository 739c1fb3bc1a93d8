//! Jobs, and the order for one.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::check::CheckRowView;
use super::word::words;
use crate::jobs::{AssetCounts, ByteCounts, ItemState, ItemStatus, JobKind, JobState, JobStatus, Selection, Task};

/// A request to preload assets: the body of `POST preload`. Omitted fields have their defaults.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "they are independent of one another, as the JSON is")]
pub struct PreloadOrder {
    /// Asset names or globs: `*` matches anything but a slash, `**` matches anything.
    pub assets: Vec<String>,
    /// Releases: all assets of each.
    pub releases: Vec<String>,
    /// Profiles: the assets that each names once every active release is live.
    pub profiles: Vec<String>,
    /// Hosts: the assets that the script and files of each name once every active release is live, and its firmware file.
    pub hosts: Vec<String>,
    /// Everything in the catalog.
    pub all: bool,
    /// Also hash cached assets again, and fetch the corrupt ones.
    pub verify: bool,
    /// Continue after a failure; on by default.
    pub keep_going: bool,
    /// Return the plan, and start nothing.
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
    /// The assets that it selects.
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

/// A job, with its progress.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct JobView {
    /// Unique in this process.
    pub id: u64,
    /// The kind of work.
    pub kind: JobKind,
    /// The subject of the work, as text.
    pub what: String,
    /// Its state.
    pub state: JobState,
    /// When it began.
    #[schema(value_type = String, format = DateTime)]
    pub began: Timestamp,
    /// When it ended.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub ended: Option<Timestamp>,
    /// Assets in it; objects of a check.
    pub assets: Assets,
    /// Bytes in it.
    pub bytes: Bytes,
    /// Bytes per second over the last seconds; 0 if it has ended.
    pub rate: u64,
    /// Each asset; omitted in lists. For all but the last 10 ended jobs, only assets that failed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub items: Vec<ItemView>,
    /// The findings of a check so far; omitted in lists and for other jobs. For all but the last 10 ended jobs, only those that failed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<CheckRowView>,
}

/// Counts of the assets of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct Assets {
    /// In all.
    pub total: usize,
    /// Done.
    pub done: usize,
    /// Failed.
    pub failed: usize,
}

/// Counts of the bytes of a job; bytes that several assets share count once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct Bytes {
    /// In all; null if a size is unknown.
    pub total: Option<u64>,
    /// Done, those cached from the start included.
    pub done: u64,
}

/// One asset of a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ItemView {
    /// Its name, or the digest of a blob that no asset of the catalog names.
    pub name: String,
    /// Its state.
    pub state: ItemState,
    /// Bytes done.
    pub bytes: u64,
    /// Its size in bytes; null if unknown.
    pub size: Option<u64>,
    /// Why it failed.
    pub error: Option<String>,
    /// Whether its copy on the disk was corrupt, unreadable or gone, so that it is fetched again. Only for a preload of an
    /// unverified copy, or with `verify`.
    #[serde(default)]
    pub rotted: bool,
}

/// A change of one item of a job, as the event `job-item` holds it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobItem {
    /// The job's number.
    pub job: u64,
    /// The item.
    pub item: ItemView,
}

/// All jobs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct JobList {
    /// The running jobs, the newest first; then the last 100 that ended. Without their items.
    pub jobs: Vec<JobView>,
}

impl JobView {
    /// The same as lists show it.
    #[must_use]
    pub fn without_items(&self) -> Self {
        Self { items: Vec::new(), checks: Vec::new(), what: self.what.clone(), ..*self }
    }
}

impl From<JobStatus> for JobView {
    fn from(job: JobStatus) -> Self {
        let JobStatus { id, kind, what, state, began, ended, assets, bytes, rate, items, checks } = job;
        let (assets, bytes) = (assets.into(), bytes.into());
        let items = items.into_iter().map(Into::into).collect();
        let checks = checks.into_iter().map(Into::into).collect();
        Self { id, kind, what, state, began, ended, assets, bytes, rate, items, checks }
    }
}

impl From<AssetCounts> for Assets {
    fn from(AssetCounts { total, done, failed }: AssetCounts) -> Self {
        Self { total, done, failed }
    }
}

impl From<ByteCounts> for Bytes {
    fn from(ByteCounts { total, done }: ByteCounts) -> Self {
        Self { total, done }
    }
}

impl From<ItemStatus> for ItemView {
    fn from(item: ItemStatus) -> Self {
        let ItemStatus { name, state, bytes, size, error, rotted } = item;
        Self { name, state, bytes, size, error, rotted }
    }
}

words! {
    JobKind as "JobKind": "What kind of work a job is.";
    JobState as "JobState": "The state of a job.";
    ItemState as "ItemState": "The state of one asset of a job.";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn preload_order_unknown_field_is_refused() {
        let order: PreloadOrder = serde_json::from_str(r#"{"releases":["okd-1"]}"#).unwrap();
        assert_eq!((order.keep_going, order.verify, order.dry_run), (true, false, false));
        assert_eq!(order.selection().releases, ["okd-1"]);
        assert!(serde_json::from_str::<PreloadOrder>(r#"{"release":["okd-1"]}"#).is_err());
    }

    #[test]
    fn job_is_sent_in_its_own_words() {
        let item = ItemStatus {
            name: "okd/1/kernel".to_owned(),
            state: ItemState::Done,
            bytes: 1000,
            size: Some(1000),
            error: None,
            rotted: false,
        };
        let job = JobStatus {
            id: 1,
            kind: JobKind::Preload,
            what: "okd/1/kernel".to_owned(),
            state: JobState::Done,
            began: Timestamp::UNIX_EPOCH,
            ended: Some(Timestamp::UNIX_EPOCH),
            assets: AssetCounts { total: 1, done: 1, failed: 0 },
            bytes: ByteCounts { total: Some(1000), done: 1000 },
            rate: 0,
            items: vec![item],
            checks: Vec::new(),
        };
        let job = JobView::from(job);
        let sent = serde_json::to_string_pretty(&job).unwrap();
        insta::assert_snapshot!(sent, @r#"
        {
          "id": 1,
          "kind": "preload",
          "what": "okd/1/kernel",
          "state": "done",
          "began": "1970-01-01T00:00:00Z",
          "ended": "1970-01-01T00:00:00Z",
          "assets": {
            "total": 1,
            "done": 1,
            "failed": 0
          },
          "bytes": {
            "total": 1000,
            "done": 1000
          },
          "rate": 0,
          "items": [
            {
              "name": "okd/1/kernel",
              "state": "done",
              "bytes": 1000,
              "size": 1000,
              "error": null,
              "rotted": false
            }
          ]
        }
        "#);
        assert_eq!(serde_json::from_str::<JobView>(&sent).unwrap(), job);
    }
}
