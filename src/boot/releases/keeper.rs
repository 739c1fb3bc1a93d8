//! Keeps the assets of live and wanted releases in the cache: fetches what is missing, now and whenever a blob goes away
//! later, for as long as it takes.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::task::{AbortHandle, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::Releases;
use crate::asset::{AssetName, Digest};
use crate::catalog::Asset;
use crate::depot::{FetchError, ReadError};

/// Assets that are fetched at a time: fewer than there are fills at a time by default, so that what a machine waits for
/// has its turn beside a release.
const AT_A_TIME: usize = 4;

/// How fast it goes about it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    /// The pause after the first failure of an asset; each further one doubles it.
    pub(super) first_pause: Duration,
    /// The longest pause.
    pub(super) longest_pause: Duration,
    /// How often it looks whether blobs went away.
    pub(super) look: Duration,
}

impl Default for Pace {
    /// A second is what a restarting origin or a lost packet costs; a minute is soon enough for an object that somebody
    /// has yet to upload. A blob that rotted is fetched by the first machine that asks for it in any case.
    fn default() -> Self {
        Self {
            first_pause: Duration::from_secs(1),
            longest_pause: Duration::from_mins(1),
            look: Duration::from_secs(10),
        }
    }
}

/// An asset that could not be fetched.
struct Setback {
    pause: Duration,
    again: Instant,
}

/// What is under way, and what waits for another try.
#[derive(Default)]
struct Errands {
    running: JoinSet<(Arc<Asset>, Result<(), FetchError>)>,
    under_way: HashMap<Digest, AbortHandle>,
    setbacks: HashMap<Digest, Setback>,
}

impl Releases {
    /// Brings the assets of all active releases into the cache and keeps them there, until `stop`. What went live is
    /// recorded when this returns.
    pub async fn keep(&self, stop: CancellationToken) {
        // A stop leaves the fills to the depot, which ends them its own way.
        stop.run_until_cancelled(self.keep_going()).await;
        self.write_record().await;
    }

    async fn keep_going(&self) {
        let mut errands = Errands::default();
        loop {
            self.write_record().await;
            let wake = self.send_out(&mut errands);
            tokio::select! {
                Some(ended) = errands.running.join_next() => {
                    // One that was called back has nothing to tell.
                    if let Ok((asset, outcome)) = ended {
                        self.came_back(&mut errands, &asset, outcome);
                    }
                }
                () = self.shared.kick.notified() => errands.setbacks.clear(),
                () = tokio::time::sleep_until(wake) => {}
            }
            self.advance(&mut self.state(), SystemTime::now());
        }
    }

    /// Begins what can be begun, and calls back what nobody needs any more. Returns when to look again.
    fn send_out(&self, errands: &mut Errands) -> Instant {
        let now = Instant::now();
        let mut wake = now + self.shared.pace.look;
        let needed: Vec<Arc<Asset>> = {
            let state = self.state();
            let missing = state.standing.active().flat_map(|release| self.assets(release));
            missing.filter(|asset| !self.shared.depot.is_cached(&asset.digest)).collect()
        };
        let digests: HashSet<Digest> = needed.iter().map(|asset| asset.digest).collect();
        errands.under_way.retain(|digest, errand| {
            let keep = digests.contains(digest);
            if !keep {
                errand.abort();
            }
            keep
        });
        errands.setbacks.retain(|digest, _| digests.contains(digest));
        for asset in needed {
            if errands.under_way.contains_key(&asset.digest) {
                continue;
            }
            match errands.setbacks.get(&asset.digest) {
                Some(setback) if setback.again > now => wake = wake.min(setback.again),
                _ if errands.under_way.len() < AT_A_TIME => {
                    let (depot, digest) = (self.shared.depot.clone(), asset.digest);
                    let errand = errands.running.spawn(async move {
                        let outcome = depot.fetch(&asset).await;
                        (asset, outcome)
                    });
                    errands.under_way.insert(digest, errand);
                }
                _ => {}
            }
        }
        wake
    }

    fn came_back(&self, errands: &mut Errands, asset: &Asset, outcome: Result<(), FetchError>) {
        let (digest, pace) = (&asset.digest, self.shared.pace);
        errands.under_way.remove(digest);
        let Err(error) = outcome else {
            errands.setbacks.remove(digest);
            self.state().failures.remove(&asset.name);
            return;
        };
        let doubled = errands.setbacks.get(digest).map(|setback| (setback.pause * 2).min(pace.longest_pause));
        let pause = match (&error, doubled.unwrap_or(pace.first_pause)) {
            // What an origin asks for is heard, within reason.
            (FetchError::Read(ReadError::Unavailable { retry_after, .. }), pause) => {
                pause.max((*retry_after).min(pace.longest_pause))
            }
            (_, pause) => pause,
        };
        // Not all at the same moment.
        let again = Instant::now() + pause.mul_f64(1.0 - fastrand::f64() / 4.0);
        errands.setbacks.insert(*digest, Setback { pause, again });
        self.failed(&asset.name, &error.to_string());
    }

    /// Keeps the reason, and logs it when it is new.
    fn failed(&self, asset: &AssetName, reason: &str) {
        let before = self.state().failures.insert(asset.clone(), reason.to_owned());
        if before.as_deref() != Some(reason) {
            warn!(%asset, reason, "an asset of a release cannot be fetched; trying on");
        }
    }
}
