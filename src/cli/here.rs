//! The work done by this process: the rooms of the server without its listeners, under the cache's lock.

use std::sync::Arc;

use anyhow::Context as _;
use tokio::runtime::Runtime;

use super::owner::Owner;
use crate::admin::{Shelf, sorted};
use crate::api::{AssetState, AssetView};
use crate::api::{JobView, Plan, PreloadOrder};
use crate::asset::AssetName;
use crate::boot::{Boot, Ledger, RECORD_FILE, Releases};
use crate::cache::Cache;
use crate::catalog::Asset;
use crate::config::Config;
use crate::depot::Depot;
use crate::jobs::{Jobs, Task};
use crate::origin::Origins;

/// A depot of these settings, and the jobs over it.
pub(super) struct Here {
    runtime: Runtime,
    boot: Boot,
    jobs: Jobs,
    /// The last to go, when nothing is written any more.
    _owner: Option<Owner>,
}

impl Here {
    /// Opens the cache, which nobody else may have open.
    pub(super) fn open(config: Config) -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        let owner = Owner::of(&config.cache.dir);
        let (boot, jobs) = {
            let _within = runtime.enter();
            let record = config.cache.dir.join(RECORD_FILE);
            let origins = Origins::new(config.origins, config.timeouts)?;
            let cache = Cache::open(config.cache)?;
            let depot = Depot::new(config.catalog, origins, cache, config.fill);
            // What releases hold is not pushed out by what is preloaded.
            let releases = Releases::open(config.releases, depot.clone(), record);
            let boot = Boot::new(config.roster, releases, Ledger::in_memory(), depot);
            (boot.clone(), Jobs::new(boot))
        };
        Ok(Self { runtime, boot, jobs, _owner: owner })
    }

    /// Assets in the order of their names: those whose names begin so, in this state.
    pub(super) fn assets(&self, prefix: &str, state: Option<AssetState>) -> Vec<AssetView> {
        let now = Shelf::look(&self.boot);
        let assets = sorted(self.boot.depot(), prefix);
        let wanted = assets.iter().filter(|asset| state.is_none_or(|state| now.state(asset) == state));
        wanted.map(|asset| now.view(asset)).collect()
    }

    pub(super) fn asset(&self, name: &str) -> Option<AssetView> {
        self.view(name).ok()
    }

    pub(super) fn pin(&self, name: &str) -> Result<AssetView, String> {
        self.runtime.block_on(self.boot.depot().pin(name)).map_err(|error| error.to_string())?;
        self.view(name)
    }

    pub(super) fn unpin(&self, name: &str) -> Result<AssetView, String> {
        let depot = self.boot.depot();
        let former = depot.pins().into_iter().find(|pin| pin.name == name).and_then(|pin| {
            let name = AssetName::parse(&pin.name).ok()?;
            Some(Asset::new(name, pin.digest, Vec::new()))
        });
        self.runtime.block_on(depot.unpin(name)).map_err(|error| error.to_string())?;
        // The catalog may have it no more: what is left is what was pinned.
        match former {
            Some(former) if depot.find(name).is_none() => Ok(Shelf::look(&self.boot).view(&former)),
            _ => self.view(name),
        }
    }

    pub(super) fn evict(&self, name: &str) -> Result<u64, String> {
        let asset = self.find(name)?;
        self.runtime.block_on(self.boot.depot().evict(&asset)).map_err(|error| error.to_string())
    }

    pub(super) fn verify(&self, name: &str) -> Result<JobView, String> {
        let _within = self.runtime.enter();
        let job = self.jobs.start(Task::Verify { assets: vec![name.to_owned()] });
        job.map(Into::into).map_err(|error| error.to_string())
    }

    pub(super) fn scrub(&self) -> anyhow::Result<JobView> {
        let _within = self.runtime.enter();
        Ok(self.jobs.start(Task::Scrub)?.into())
    }

    fn find(&self, name: &str) -> Result<Arc<Asset>, String> {
        self.boot.depot().find(name).ok_or_else(|| format!("the catalog has no asset {name:?}"))
    }

    fn view(&self, name: &str) -> Result<AssetView, String> {
        Ok(Shelf::look(&self.boot).view(&*self.find(name)?))
    }

    pub(super) fn plan(&self, order: &PreloadOrder) -> anyhow::Result<Plan> {
        Ok(self.runtime.block_on(self.jobs.plan(&order.selection()))?.into())
    }

    pub(super) fn start(&self, order: &PreloadOrder) -> anyhow::Result<JobView> {
        let _within = self.runtime.enter();
        Ok(self.jobs.start(Task::from(order))?.into())
    }

    pub(super) fn job(&self, id: u64) -> anyhow::Result<JobView> {
        self.jobs.get(id).map(Into::into).with_context(|| format!("there is no job {id}"))
    }

    /// A job that has ended already is no trouble.
    pub(super) fn cancel(&self, id: u64) {
        let _ = self.jobs.cancel(id);
    }
}

impl Drop for Here {
    fn drop(&mut self) {
        // Fills that a cancelled job left keep what they have.
        self.runtime.block_on(self.boot.depot().close());
    }
}
