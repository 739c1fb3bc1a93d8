//! Jobs: long work that operators order. What to do ([`Selection`]), what it will mean ([`Plan`]), and doing it
//! ([`Jobs`]), with progress, cancelling, and memory of what ended. It knows the depot and who boots what, and no protocol.

mod item;
mod job;
mod plan;
mod selection;
#[cfg(test)]
mod tests;
mod view;
mod work;

use std::collections::VecDeque;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::sync::{Semaphore, broadcast};

pub use plan::{Cached, Missing, Plan, PlanItem, Room};
pub use selection::{Kind as SelectedKind, Selection, SelectionError, UnknownName, is_glob, matcher};
pub use view::{AssetCounts, ByteCounts, ItemState, ItemStatus, JobEvent, JobKind, JobState, JobStatus, PlannedState};

use self::job::Job;
use self::work::Work;
use crate::boot::Boot;
use crate::task::blocking;

/// Jobs that run at a time. Each has its items in memory, and more than a few are an operator's script that runs wild.
const RUNNING: usize = 64;
/// Jobs that ended and are remembered.
const REMEMBERED: usize = 100;
/// Of them, those of which every item is remembered: one may have an item for each asset of a large catalog. Of the others
/// those that failed are.
const DETAILED: usize = 10;
/// Events that a slow listener may be behind before it misses some: all items of a job of a few thousand.
const BACKLOG: usize = 4096;
/// How often the progress of a job is told.
const TOLD: Duration = Duration::from_millis(500);

/// What a job is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Task {
    /// Bring assets into the cache.
    Preload {
        /// Which.
        selection: Selection,
        /// Hash again what is here, and fetch what rotted.
        verify: bool,
        /// Go on after a failure.
        keep_going: bool,
    },
    /// Hash the blobs of assets again. What rotted goes to quarantine.
    Verify {
        /// Names or globs. What a glob matches and is not here is left out; what is named and not here is a failure.
        assets: Vec<String>,
    },
    /// Hash every blob of the cache again.
    Scrub,
}

/// Why a job does not begin.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StartError {
    /// What it is to be of is not known.
    #[error(transparent)]
    Selection(#[from] SelectionError),
    /// There are too many of them already.
    #[error("{RUNNING} jobs run already; wait for one of them, or cancel it")]
    TooMany,
}

/// Why a job is not cancelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CancelError {
    /// There is no job of this number, or none any more.
    #[error("there is no job {0}; the last {REMEMBERED} that ended are remembered")]
    Unknown(u64),
    /// It has ended.
    #[error("job {id} has ended already: it is {}", .state.as_str())]
    Ended {
        /// Its number.
        id: u64,
        /// How it ended.
        state: JobState,
    },
}

/// All jobs of this process. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct Jobs {
    shared: Arc<Shared>,
}

struct Shared {
    boot: Boot,
    next: AtomicU64,
    list: Mutex<List>,
    events: broadcast::Sender<JobEvent>,
    /// One blob is hashed again at a time: a disk reads one fastest, and the processor is the clients'.
    hashing: Arc<Semaphore>,
}

#[derive(Default)]
struct List {
    /// The oldest first.
    running: Vec<Arc<Job>>,
    /// The newest first.
    ended: VecDeque<Arc<Job>>,
}

impl Jobs {
    /// No jobs yet.
    pub fn new(boot: Boot) -> Self {
        let shared = Shared {
            boot,
            next: AtomicU64::new(1),
            list: Mutex::default(),
            events: broadcast::Sender::new(BACKLOG),
            hashing: Arc::new(Semaphore::new(1)),
        };
        Self { shared: Arc::new(shared) }
    }

    /// What a preload of `selection` would mean.
    pub async fn plan(&self, selection: &Selection) -> Result<Plan, SelectionError> {
        let (selection, boot) = (selection.clone(), self.shared.boot.clone());
        let assets = blocking(move || selection.resolve(&boot)).await?;
        Ok(Plan::with_sizes(assets, self.shared.boot.depot()).await)
    }

    /// Begins the task. It goes on to its end, or to [`Jobs::cancel`]. For a caller within the runtime, on a blocking thread
    /// of it where the catalog is large: names and globs are looked up.
    ///
    /// A scrub that runs already is the one that is meant: there is nothing that a second one would find.
    pub fn start(&self, task: Task) -> Result<JobStatus, StartError> {
        let depot = self.shared.boot.depot();
        if task == Task::Scrub {
            let running = self.lists().running.iter().find(|job| job.kind() == JobKind::Scrub).cloned();
            if let Some(job) = running {
                return Ok(job.view(depot));
            }
        }
        let work = Work::of(task, &self.shared.boot)?;
        let id = self.shared.next.fetch_add(1, Ordering::Relaxed);
        let job = Arc::new(Job::new(id, work, depot));
        {
            let mut list = self.lists();
            if list.running.len() >= RUNNING {
                return Err(StartError::TooMany);
            }
            list.running.push(Arc::clone(&job));
        }
        let view = job.view(depot);
        tracing::info!(job = id, kind = view.kind.as_str(), what = view.what, assets = view.assets.total, "job begins");
        self.tell(JobEvent::Job(job.summary(depot)));
        tokio::spawn(self.clone().see_through(job));
        Ok(view)
    }

    /// All jobs that run, the newest first, and then the last 100 that ended; without their items.
    pub fn list(&self) -> Vec<JobStatus> {
        let jobs: Vec<_> = {
            let list = self.lists();
            list.running.iter().rev().chain(&list.ended).cloned().collect()
        };
        jobs.iter().map(|job| job.summary(self.shared.boot.depot())).collect()
    }

    /// The job of this number with its items, if it runs or is remembered. Of one that ended before the last 10 that did,
    /// only the items that failed.
    pub fn get(&self, id: u64) -> Option<JobStatus> {
        self.find(id).map(|job| job.view(self.shared.boot.depot()))
    }

    /// Ends the job of this number: what it alone has under way is ended and what it has not begun is not. What clients
    /// or releases want as well goes on.
    pub fn cancel(&self, id: u64) -> Result<JobStatus, CancelError> {
        let job = self.find(id).ok_or(CancelError::Unknown(id))?;
        let cut = job
            .end(self.shared.boot.depot(), Some(JobState::Cancelled))
            .map_err(|state| CancelError::Ended { id, state })?;
        for item in cut {
            self.tell(JobEvent::Item { job: id, item });
        }
        Ok(job.view(self.shared.boot.depot()))
    }

    /// What happens to jobs from now on.
    pub fn subscribe(&self) -> broadcast::Receiver<JobEvent> {
        self.shared.events.subscribe()
    }

    fn find(&self, id: u64) -> Option<Arc<Job>> {
        let list = self.lists();
        list.running.iter().chain(&list.ended).find(|job| job.id() == id).cloned()
    }

    /// Works the job off, tells how far it is, and remembers it.
    async fn see_through(self, job: Arc<Job>) {
        let depot = self.shared.boot.depot();
        let events = &self.shared.events;
        {
            let work = work::work(&job, depot, &self.shared.hashing, events);
            let mut work = std::pin::pin!(AssertUnwindSafe(work).catch_unwind());
            let mut told = tokio::time::interval(TOLD);
            let panicked = loop {
                tokio::select! {
                    worked = &mut work => break worked.is_err(),
                    _ = told.tick() => self.tell(JobEvent::Job(job.summary(depot))),
                }
            };
            // The log has the panic; what it left must not seem to run for ever.
            if panicked {
                for item in job.end(depot, Some(JobState::Failed)).unwrap_or_default() {
                    self.tell(JobEvent::Item { job: job.id(), item });
                }
            }
        }
        {
            let mut list = self.lists();
            list.running.retain(|running| !Arc::ptr_eq(running, &job));
            list.ended.push_front(Arc::clone(&job));
            list.ended.truncate(REMEMBERED);
            if let Some(older) = list.ended.get(DETAILED) {
                older.forget_items();
            }
        }
        let view = job.summary(depot);
        tracing::info!(
            job = view.id,
            kind = view.kind.as_str(),
            state = view.state.as_str(),
            done = view.assets.done,
            failed = view.assets.failed,
            bytes = view.bytes.done,
            "job ended"
        );
        self.tell(JobEvent::Job(view));
    }

    fn tell(&self, event: JobEvent) {
        // Nobody listens: nobody misses it.
        let _ = self.shared.events.send(event);
    }

    fn lists(&self) -> MutexGuard<'_, List> {
        self.shared.list.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
