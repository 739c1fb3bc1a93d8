//! Keeps the assets of active and live releases in the cache: fetches missing blobs, and retries until it succeeds.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::task::{AbortHandle, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::handle::Releases;
use crate::asset::{AssetName, Digest};
use crate::backoff::Backoff;
use crate::catalog::Asset;
use crate::depot::{FetchError, ReadError};
use crate::task::{self, TaskPanicked};

/// Concurrent fetches: fewer than the default limit of fills, so that fills for waiting machines start in time.
const MAX_FETCHES: usize = 4;

/// Why a fetch failed.
struct FetchFailure {
    reason: String,
    /// The shortest pause that the origin requested.
    retry_after: Duration,
}

impl From<FetchError> for FetchFailure {
    fn from(error: FetchError) -> Self {
        let retry_after = match &error {
            FetchError::Read(ReadError::Unavailable { retry_after, .. }) => *retry_after,
            _ => Duration::ZERO,
        };
        Self { reason: error.to_string(), retry_after }
    }
}

impl From<TaskPanicked> for FetchFailure {
    fn from(panicked: TaskPanicked) -> Self {
        Self { reason: panicked.to_string(), retry_after: Duration::ZERO }
    }
}

/// When to fetch an asset again.
struct Retry {
    backoff: Backoff,
    at: Instant,
}

/// The fetches that are running, and the failed ones that wait for a retry.
#[derive(Default)]
struct Reconciler {
    fetches: JoinSet<(Arc<Asset>, Result<(), FetchFailure>)>,
    running: HashMap<Digest, AbortHandle>,
    retries: HashMap<Digest, Retry>,
}

impl Releases {
    /// Fetches the assets of all active and live releases and keeps them in the cache, until `stop` is cancelled. The state
    /// is recorded when this returns.
    pub async fn reconcile(&self, stop: CancellationToken) {
        // Fills continue after a stop; the depot ends them.
        stop.run_until_cancelled(self.reconcile_forever()).await;
        self.write_record().await;
    }

    async fn reconcile_forever(&self) {
        let mut reconciler = Reconciler::default();
        loop {
            self.write_record().await;
            let wake = self.start_fetches(&mut reconciler);
            tokio::select! {
                Some(ended) = reconciler.fetches.join_next() => {
                    // An aborted fetch has no result.
                    if let Ok((asset, result)) = ended {
                        self.fetch_ended(&mut reconciler, &asset, result);
                    }
                }
                () = self.shared.changed.notified() => reconciler.retries.clear(),
                () = tokio::time::sleep_until(wake) => {}
            }
            self.advance(&mut self.state(), SystemTime::now());
        }
    }

    /// Starts the fetches that are due, and aborts those that are no longer needed. Returns when to call it again.
    fn start_fetches(&self, reconciler: &mut Reconciler) -> Instant {
        let now = Instant::now();
        let mut wake = now + self.shared.settings.check_interval;
        let needed: Vec<Arc<Asset>> = {
            let state = self.state();
            let assets = state.channels.active_or_live().flat_map(|release| self.assets(release));
            assets.filter(|asset| !self.shared.depot.is_cached(&asset.digest)).collect()
        };
        let digests: HashSet<Digest> = needed.iter().map(|asset| asset.digest).collect();
        reconciler.running.retain(|digest, fetch| {
            let keep = digests.contains(digest);
            if !keep {
                fetch.abort();
            }
            keep
        });
        reconciler.retries.retain(|digest, _| digests.contains(digest));
        for asset in needed {
            if reconciler.running.contains_key(&asset.digest) {
                continue;
            }
            match reconciler.retries.get(&asset.digest) {
                Some(retry) if retry.at > now => wake = wake.min(retry.at),
                _ if reconciler.running.len() < MAX_FETCHES => {
                    let (depot, digest) = (self.shared.depot.clone(), asset.digest);
                    let fetch = reconciler.fetches.spawn(async move {
                        let result = match task::catch_panic(depot.fetch(&asset)).await {
                            Ok(fetched) => fetched.map_err(FetchFailure::from),
                            Err(panicked) => Err(FetchFailure::from(panicked)),
                        };
                        (asset, result)
                    });
                    reconciler.running.insert(digest, fetch);
                }
                _ => {}
            }
        }
        wake
    }

    fn fetch_ended(&self, reconciler: &mut Reconciler, asset: &Asset, result: Result<(), FetchFailure>) {
        let digest = asset.digest;
        reconciler.running.remove(&digest);
        let Err(failure) = result else {
            reconciler.retries.remove(&digest);
            self.state().failures.remove(&asset.name);
            return;
        };
        let first = || Backoff::new(self.shared.settings.backoff);
        let mut backoff = reconciler.retries.remove(&digest).map_or_else(first, |retry| retry.backoff);
        let at = Instant::now() + backoff.next_delay_at_least(failure.retry_after);
        reconciler.retries.insert(digest, Retry { backoff, at });
        self.failed(&asset.name, &failure.reason);
    }

    /// Stores the reason, and logs it if it is new.
    fn failed(&self, asset: &AssetName, reason: &str) {
        let before = self.state().failures.insert(asset.clone(), reason.to_owned());
        if before.as_deref() != Some(reason) {
            warn!(%asset, error = reason, "release asset fetch failed; retrying");
        }
    }
}
