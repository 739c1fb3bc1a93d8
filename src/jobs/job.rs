//! One job: its items, its progress, and how it ended.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use jiff::Timestamp;
use parking_lot::{Mutex, MutexGuard};
use tokio_util::sync::CancellationToken;

use super::check::{CheckProgress, CheckTask};
use super::item::{Item, Items};
use super::status::{ItemStatus, JobKind, JobState, JobStatus};
use super::task::Task;
use super::work::Work;
use crate::clock;
use crate::depot::{Depot, Rate, Retention, RetentionReason};

/// A job, running or ended.
pub(super) struct Job {
    id: u64,
    kind: JobKind,
    what: String,
    verify: bool,
    keep_going: bool,
    began: Timestamp,
    /// Cancelled when the job ends.
    ended: CancellationToken,
    /// The scope of a check, and how far it is. `None` for other jobs.
    check: Option<(CheckTask, Arc<CheckProgress>)>,
    progress: Mutex<JobProgress>,
}

struct JobProgress {
    items: Items,
    state: JobState,
    ended: Option<Timestamp>,
    rate: Rate,
    /// Keep the job's assets in the cache until it ends, so that later items do not evict earlier ones.
    retentions: Vec<Retention>,
}

impl Job {
    /// Starts a job. Items that need no work are done at once.
    pub(super) fn new(id: u64, work: Work, depot: &Depot) -> Self {
        let Work { kind, what, verify, keep_going, items, check } = work;
        let mut items = Items::new(items);
        let mut retentions = Vec::new();
        if kind == JobKind::Preload {
            let assets = items.list().iter().filter_map(|item| item.asset.as_ref());
            retentions = assets.map(|asset| depot.retain(asset, RetentionReason::Job(id))).collect();
        }
        if kind == JobKind::Preload && !verify {
            for index in items.waiting() {
                // After the retention, so that the blob is not evicted.
                if let Some(size) = depot.cache().size_of(&items.list()[index].digest) {
                    items.begin(index);
                    items.done(index, Some(size));
                }
            }
        }
        let rate = Rate::new(Instant::now(), items.bytes().done);
        let progress = JobProgress { items, state: JobState::Running, ended: None, rate, retentions };
        let (began, ended) = (clock::now(), CancellationToken::new());
        let check = check.map(|task| (task, Arc::default()));
        Self { id, kind, what, verify, keep_going, began, ended, check, progress: Mutex::new(progress) }
    }

    pub(super) fn id(&self) -> u64 {
        self.id
    }

    pub(super) fn kind(&self) -> JobKind {
        self.kind
    }

    /// Whether the job runs, and `task` would find nothing else than it does.
    pub(super) fn finds_the_same(&self, task: &Task) -> bool {
        let is_same = match task {
            Task::Scrub => self.kind == JobKind::Scrub,
            Task::Check(scope) => self.check().is_some_and(|(running, _)| running == scope),
            Task::Preload { .. } | Task::Verify { .. } => false,
        };
        is_same && !self.ended.is_cancelled()
    }

    /// The scope of a check, and how far it is. `None` for other jobs.
    pub(super) fn check(&self) -> Option<&(CheckTask, Arc<CheckProgress>)> {
        self.check.as_ref()
    }

    /// Whether cached blobs are verified again.
    pub(super) fn verify(&self) -> bool {
        self.verify
    }

    /// Whether the job continues after a failure.
    pub(super) fn keep_going(&self) -> bool {
        self.keep_going
    }

    /// Cancelled when the job ends, in any way.
    pub(super) fn ended(&self) -> &CancellationToken {
        &self.ended
    }

    /// The indices of the waiting items.
    pub(super) fn waiting(&self) -> Vec<usize> {
        self.progress.lock().items.waiting()
    }

    /// A copy of the item at `index`.
    pub(super) fn item(&self, index: usize) -> Item {
        self.progress.lock().items.list()[index].clone()
    }

    /// Changes the items on behalf of the item at `index`, and returns its new view. Does nothing, and returns `None`, if the
    /// job has ended.
    pub(super) fn update(&self, index: usize, change: impl FnOnce(&mut Items)) -> Option<ItemStatus> {
        let mut progress = self.progress.lock();
        (progress.state == JobState::Running).then(|| {
            change(&mut progress.items);
            progress.items.list()[index].view()
        })
    }

    /// Ends the job in `state`; with `None`, in the state that follows from its items. Returns the items that were running
    /// and are now cancelled. Fails with the job's state if it has ended already.
    pub(super) fn end(&self, depot: &Depot, state: Option<JobState>) -> Result<Vec<ItemStatus>, JobState> {
        let (cancelled, retentions) = {
            let mut progress = self.refresh(depot);
            if progress.state != JobState::Running {
                return Err(progress.state);
            }
            let failed =
                progress.items.assets().failed > 0 || self.check().is_some_and(|(_, check)| check.has_failed());
            progress.state = state.unwrap_or(if failed { JobState::Failed } else { JobState::Done });
            progress.ended = Some(clock::now());
            let cancelled = progress.items.cancel_rest();
            let views = cancelled.into_iter().map(|index| progress.items.list()[index].view()).collect();
            (views, std::mem::take(&mut progress.retentions))
        };
        self.ended.cancel();
        // Dropped without the lock.
        drop(retentions);
        Ok(cancelled)
    }

    /// Drops the items and findings that did not fail. Only for ended jobs.
    pub(super) fn drop_items(&self) {
        self.progress.lock().items.drop_all_but_failed();
        if let Some((_, check)) = &self.check {
            check.drop_all_but_failed();
        }
    }

    /// The current view, with items.
    pub(super) fn view(&self, depot: &Depot) -> JobStatus {
        let mut progress = self.refresh(depot);
        let items = progress.items.list().iter().map(Item::view).collect();
        let checks = self.check().map(|(_, check)| check.rows()).unwrap_or_default();
        JobStatus { items, checks, ..self.summarize(&mut progress) }
    }

    /// The current view, without items.
    pub(super) fn summary(&self, depot: &Depot) -> JobStatus {
        self.summarize(&mut self.refresh(depot))
    }

    fn summarize(&self, progress: &mut JobProgress) -> JobStatus {
        let (assets, bytes) = match self.check() {
            Some((_, check)) => (check.objects(), check.bytes()),
            None => (progress.items.assets(), progress.items.bytes()),
        };
        let running = progress.state == JobState::Running;
        let rate = if running { progress.rate.at(Instant::now(), bytes.done) } else { 0 };
        JobStatus {
            id: self.id,
            kind: self.kind,
            what: self.what.clone(),
            state: progress.state,
            began: self.began,
            ended: progress.ended,
            assets,
            bytes,
            rate,
            items: Vec::new(),
            checks: Vec::new(),
        }
    }

    /// Locks the progress, and updates the bytes of the running items.
    fn refresh(&self, depot: &Depot) -> MutexGuard<'_, JobProgress> {
        let mut progress = self.progress.lock();
        for index in progress.items.running() {
            let item = &progress.items.list()[index];
            let (bytes, size) = match (&item.hashed, &item.asset) {
                (Some(hashed), _) => (hashed.load(Ordering::Relaxed), None),
                (None, Some(asset)) => {
                    let progress = depot.progress(asset);
                    (progress.bytes, progress.size)
                }
                (None, None) => continue,
            };
            progress.items.set_progress(index, bytes, size);
        }
        progress
    }
}
