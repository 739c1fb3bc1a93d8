//! The work done by this process: the rooms of the server without its listeners, under the cache's lock.

use anyhow::Context as _;
use tokio::runtime::Runtime;

use crate::boot::{Boot, Ledger, RECORD_FILE, Releases};
use crate::cache::Cache;
use crate::config::Config;
use crate::depot::Depot;
use crate::jobs::{JobView, Jobs, Plan, PreloadOrder, Task};
use crate::origin::Origins;

/// A depot of these settings, and the jobs over it.
pub(super) struct Here {
    runtime: Runtime,
    depot: Depot,
    jobs: Jobs,
}

impl Here {
    /// Opens the cache, which nobody else may have open.
    pub(super) fn open(config: Config) -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        let (depot, jobs) = {
            let _within = runtime.enter();
            let record = config.cache.dir.join(RECORD_FILE);
            let origins = Origins::new(config.origins, config.timeouts)?;
            let cache = Cache::open(config.cache)?;
            let depot = Depot::new(config.catalog, origins, cache, config.fill);
            // What releases hold is not pushed out by what is preloaded.
            let releases = Releases::open(config.releases, depot.clone(), record);
            let boot = Boot::new(config.roster, releases, Ledger::in_memory(), depot.clone());
            (depot, Jobs::new(boot))
        };
        Ok(Self { runtime, depot, jobs })
    }

    pub(super) fn plan(&self, order: &PreloadOrder) -> anyhow::Result<Plan> {
        Ok(self.runtime.block_on(self.jobs.plan(&order.selection()))?)
    }

    pub(super) fn start(&self, order: &PreloadOrder) -> anyhow::Result<JobView> {
        let _within = self.runtime.enter();
        Ok(self.jobs.start(Task::from(order))?)
    }

    pub(super) fn job(&self, id: u64) -> anyhow::Result<JobView> {
        self.jobs.get(id).with_context(|| format!("there is no job {id}"))
    }

    /// A job that has ended already is no trouble.
    pub(super) fn cancel(&self, id: u64) {
        let _ = self.jobs.cancel(id);
    }
}

impl Drop for Here {
    fn drop(&mut self) {
        // Fills that a cancelled job left keep what they have.
        self.runtime.block_on(self.depot.close());
    }
}
