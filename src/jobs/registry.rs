//! The registry of jobs: starts, lists and cancels them, and keeps the last that ended.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use tokio::sync::{Semaphore, broadcast};
use tracing::info;

use super::check::Checker;
use super::error::{CancelError, StartError};
use super::job::Job;
use super::limits::{EVENT_CAPACITY, MAX_DETAILED, MAX_ENDED, MAX_RUNNING, PROGRESS_INTERVAL};
use super::plan::Plan;
use super::runner;
use super::selection::{Selection, SelectionError};
use super::status::{JobEvent, JobState, JobStatus};
use super::task::Task;
use super::work::Work;
use crate::boot::Boot;
use crate::depot::Depot;
use crate::task::{blocking, catch_panic};

/// All jobs of this process. Cheap to clone; all clones share one state.
#[derive(Clone)]
pub struct Jobs {
    pub(super) shared: Arc<Shared>,
}

pub(super) struct Shared {
    boot: Boot,
    next_id: AtomicU64,
    list: Mutex<List>,
    events: broadcast::Sender<JobEvent>,
    /// Permits one blob at a time to be verified: sequential reads are fastest, and clients need the processor.
    pub(super) verifying: Arc<Semaphore>,
    /// `None` if this process cannot check.
    checker: Option<Checker>,
}

#[derive(Default)]
struct List {
    /// Oldest first.
    running: Vec<Arc<Job>>,
    /// Newest first.
    ended: VecDeque<Arc<Job>>,
}

impl Jobs {
    /// An empty registry without checks.
    pub fn new(boot: Boot) -> Self {
        Self::build(boot, None)
    }

    /// An empty registry with checks.
    pub fn with_checks(boot: Boot, checker: Checker) -> Self {
        Self::build(boot, Some(checker))
    }

    fn build(boot: Boot, checker: Option<Checker>) -> Self {
        let shared = Shared {
            boot,
            next_id: AtomicU64::new(1),
            list: Mutex::default(),
            events: broadcast::Sender::new(EVENT_CAPACITY),
            verifying: Arc::new(Semaphore::new(1)),
            checker,
        };
        Self { shared: Arc::new(shared) }
    }

    fn depot(&self) -> &Depot {
        self.shared.boot.depot()
    }

    /// Predicts what a preload of `selection` would fetch.
    pub async fn plan(&self, selection: &Selection) -> Result<Plan, SelectionError> {
        selection.look_up_members(&self.shared.boot).await?;
        let (selection, boot) = (selection.clone(), self.shared.boot.clone());
        let assets = blocking(move || selection.resolve(&boot)).await?;
        Ok(Plan::with_sizes(assets, self.depot()).await)
    }

    /// Asks the sources of assets of collections that `task` names, so that [`Jobs::start`] knows them.
    pub async fn prepare(&self, task: &Task) -> Result<(), SelectionError> {
        match task {
            Task::Preload { selection, .. } => selection.look_up_members(&self.shared.boot).await,
            _ => Ok(()),
        }
    }

    /// Starts a job. It runs until it is done or [`Jobs::cancel`] is called. Must be called within the runtime, with a large
    /// catalog on a blocking thread: it looks up names and globs.
    ///
    /// Returns the running job if `task` is a scrub, or a check of the same scope, and one runs: a second one would find nothing
    /// else.
    pub fn start(&self, task: Task) -> Result<JobStatus, StartError> {
        let depot = self.depot();
        let running = self.shared.list.lock().running.iter().find(|job| job.finds_the_same(&task)).cloned();
        if let Some(job) = running {
            return Ok(job.view(depot));
        }
        if matches!(task, Task::Check(_)) && self.shared.checker.is_none() {
            return Err(StartError::NoChecks);
        }
        let work = Work::new(task, &self.shared.boot)?;
        let id = self.shared.next_id.fetch_add(1, Ordering::Relaxed);
        let job = Arc::new(Job::new(id, work, depot));
        {
            let mut list = self.shared.list.lock();
            if list.running.len() >= MAX_RUNNING {
                return Err(StartError::TooMany);
            }
            list.running.push(Arc::clone(&job));
        }
        let view = job.view(depot);
        info!(job = id, kind = view.kind.as_str(), what = view.what, assets = view.assets.total, "job started");
        self.publish(JobEvent::Job(job.summary(depot)));
        tokio::spawn(self.clone().run(job));
        Ok(view)
    }

    /// The running jobs, newest first, and then the last 100 that ended; without items.
    pub fn list(&self) -> Vec<JobStatus> {
        let jobs: Vec<_> = {
            let list = self.shared.list.lock();
            list.running.iter().rev().chain(&list.ended).cloned().collect()
        };
        jobs.iter().map(|job| job.summary(self.depot())).collect()
    }

    /// The job with this number and its items, if it runs or is kept. The last 10 ended jobs keep all items, older ones only
    /// those that failed.
    pub fn get(&self, id: u64) -> Option<JobStatus> {
        self.find(id).map(|job| job.view(self.depot()))
    }

    /// Cancels the job with this number. Its waiting items are not started; its running ones are cancelled, except fills that
    /// clients or releases need too.
    pub fn cancel(&self, id: u64) -> Result<JobStatus, CancelError> {
        let job = self.find(id).ok_or(CancelError::Unknown(id))?;
        let cancelled =
            job.end(self.depot(), Some(JobState::Cancelled)).map_err(|state| CancelError::Ended { id, state })?;
        for item in cancelled {
            self.publish(JobEvent::Item { job: id, item });
        }
        Ok(job.view(self.depot()))
    }

    /// Subscribes to the events of all jobs.
    pub fn subscribe(&self) -> broadcast::Receiver<JobEvent> {
        self.shared.events.subscribe()
    }

    /// Whether the job with this number is among the ended ones.
    #[cfg(test)]
    pub(super) fn is_ended(&self, id: u64) -> bool {
        self.shared.list.lock().ended.iter().any(|job| job.id() == id)
    }

    fn find(&self, id: u64) -> Option<Arc<Job>> {
        let list = self.shared.list.lock();
        list.running.iter().chain(&list.ended).find(|job| job.id() == id).cloned()
    }

    /// Runs the job to its end, publishes its progress, and moves it to the ended ones.
    async fn run(self, job: Arc<Job>) {
        self.run_items(&job).await;
        {
            let mut list = self.shared.list.lock();
            list.running.retain(|running| !Arc::ptr_eq(running, &job));
            list.ended.push_front(Arc::clone(&job));
            list.ended.truncate(MAX_ENDED);
            if let Some(older) = list.ended.get(MAX_DETAILED) {
                older.drop_items();
            }
        }
        let view = job.summary(self.depot());
        info!(
            job = view.id,
            kind = view.kind.as_str(),
            state = view.state.as_str(),
            done = view.assets.done,
            failed = view.assets.failed,
            bytes = view.bytes.done,
            "job ended"
        );
        self.publish(JobEvent::Job(view));
    }

    async fn run_items(&self, job: &Job) {
        let (depot, events) = (self.depot(), &self.shared.events);
        let work = catch_panic(async {
            if let (Some((task, progress)), Some(checker)) = (job.check(), &self.shared.checker) {
                // `None` if the job is cancelled.
                let _ = job.ended().run_until_cancelled(checker(task.clone(), Arc::clone(progress))).await;
            }
            runner::run(job, depot, &self.shared.verifying, events).await;
        });
        let mut work = std::pin::pin!(work);
        let mut interval = tokio::time::interval(PROGRESS_INTERVAL);
        let result = loop {
            tokio::select! {
                result = &mut work => break result,
                _ = interval.tick() => self.publish(JobEvent::Job(job.summary(depot))),
            }
        };
        // After a panic the job must not seem to run for ever; the log has the panic.
        if result.is_err() {
            for item in job.end(depot, Some(JobState::Failed)).unwrap_or_default() {
                self.publish(JobEvent::Item { job: job.id(), item });
            }
        }
    }

    fn publish(&self, event: JobEvent) {
        // Fails only if there are no subscribers.
        let _ = self.shared.events.send(event);
    }
}
