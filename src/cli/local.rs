//! The rooms of the server without its listeners, in this process, behind the router of the admin API.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::client::ApiClient;
use super::owner::Owner;
use crate::admin::{self, AdminParts, Reloading};
use crate::api::CatalogView;
use crate::boot::{Boot, Ledger, RECORD_FILE, Releases};
use crate::cache::Cache;
use crate::clock;
use crate::config::Config;
use crate::depot::Depot;
use crate::jobs::Jobs;
use crate::origin::Origins;
use crate::task::blocking;

/// A depot of the settings, whose cache this process holds the lock of.
pub(super) struct LocalDepot {
    depot: Depot,
    stop: CancellationToken,
    events: JoinHandle<()>,
    /// The last to be dropped, when nothing is written any more.
    _owner: Option<Owner>,
}

impl LocalDepot {
    /// Opens the cache and returns a client for it. Fails if another process has it open. Blocks.
    pub(super) fn open(config: Config) -> anyhow::Result<(ApiClient, Self)> {
        let owner = Owner::of(&config.cache.dir);
        let record = config.cache.dir.join(RECORD_FILE);
        let catalog = CatalogView {
            assets: config.catalog.len(),
            releases: config.releases.len(),
            hosts: config.roster.hosts().len(),
            loaded: clock::now(),
            generation: 1,
            sources: Vec::new(),
            last_reload: None,
        };
        let origins = Origins::new(config.origins, config.timeouts)?;
        let cache = Cache::open(config.cache)?;
        let depot = Depot::new(config.catalog, origins, cache, config.fill);
        // Releases keep their assets when a preload needs space.
        let releases = Releases::open(config.releases, depot.clone(), record);
        let boot = Boot::new(config.roster, releases, Ledger::in_memory(), depot.clone());
        let parts = AdminParts {
            boot: boot.clone(),
            metrics: Arc::new(String::new),
            reloading: Reloading::never(catalog),
            jobs: Jobs::new(boot),
            listeners: Vec::new(),
            started: clock::now(),
        };
        let stop = CancellationToken::new();
        let (router, events) = admin::router_without_guard(parts, stop.clone());
        let local = Self { depot, stop, events: tokio::spawn(events), _owner: owner };
        Ok((ApiClient::in_process(router), local))
    }

    /// Ends all work. Fills keep what has come.
    pub(super) async fn close(self) {
        self.stop.cancel();
        self.depot.close().await;
        let cache = self.depot.cache().clone();
        blocking(move || cache.seal_admitted()).await;
        // If it panicked, the log has that.
        let _ = self.events.await;
    }
}

/// A client for the ledger that the last server left in `dir`: it has the machines and nothing else. Blocks.
pub(super) fn ledger(dir: &Path) -> anyhow::Result<ApiClient> {
    let ledger = Ledger::read(dir).with_context(|| format!("cannot read the ledger in {}", dir.display()))?;
    Ok(ApiClient::in_process(admin::ledger_router(ledger)))
}
