//! Runs a job: its items in order, a few at a time.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::StreamExt as _;
use futures_util::stream;
use tokio::sync::{Semaphore, broadcast};

use super::item::Items;
use super::job::Job;
use super::status::{JobEvent, JobKind};
use crate::asset::Digest;
use crate::cache::ScrubOutcome;
use crate::catalog::Asset;
use crate::depot::Depot;
use crate::error_chain::error_chain;
use crate::task::blocking;

/// Runs the job to its end. When the job ends early, or this future is dropped, its fetches are cancelled.
pub(super) async fn run(job: &Job, depot: &Depot, verifying: &Arc<Semaphore>, events: &broadcast::Sender<JobEvent>) {
    let runner = Runner { job, depot, verifying, events };
    // Half of the fills that may run, so that fills for machines get their turn beside a preload.
    let concurrency = if job.kind() == JobKind::Preload { depot.max_fills().div_ceil(2) } else { 1 };
    {
        let items = stream::iter(job.waiting()).map(|index| runner.run_item(index)).buffer_unordered(concurrency);
        let mut items = std::pin::pin!(items);
        while let Some(Some(succeeded)) = job.ended().run_until_cancelled(items.next()).await {
            if !succeeded && !job.keep_going() {
                break;
            }
        }
        // Dropping the items cancels those that are running.
    }
    // If the job was cancelled, `Jobs::cancel` has published its cancelled items.
    for item in job.end(depot, None).unwrap_or_default() {
        runner.publish(JobEvent::Item { job: job.id(), item });
    }
}

/// The context in which an item runs.
struct Runner<'j> {
    job: &'j Job,
    depot: &'j Depot,
    /// Permits one blob at a time to be verified.
    verifying: &'j Arc<Semaphore>,
    events: &'j broadcast::Sender<JobEvent>,
}

impl Runner<'_> {
    /// Runs one item. Returns whether it succeeded.
    async fn run_item(&self, index: usize) -> bool {
        self.update(index, |items| items.begin(index));
        let item = self.job.item(index);
        let result = match (&item.asset, self.job.kind()) {
            (Some(asset), JobKind::Preload) => self.preload(index, asset).await,
            _ => match self.verify(index, item.digest).await {
                ScrubOutcome::Verified => Ok(()),
                failed => Err(describe(&failed)),
            },
        };
        let succeeded = result.is_ok();
        let size = self.depot.cache().size_of(&item.digest);
        self.update(index, |items| match result {
            Ok(()) => items.done(index, size),
            Err(error) => items.fail(index, error),
        });
        succeeded
    }

    /// Caches an asset. If the job verifies, a cached blob is verified first.
    async fn preload(&self, index: usize, asset: &Arc<Asset>) -> Result<(), String> {
        let (cache, digest) = (self.depot.cache().clone(), asset.digest);
        let was_unverified = self.depot.is_unverified(&digest);
        // Its seal may verify it, without a hash.
        let is_sealed = was_unverified && blocking(move || cache.get(&digest).is_some()).await;
        if is_sealed && !self.job.verify() {
            return Ok(());
        }
        // Unverified blobs are hashed here, so that a corrupt one is reported as such.
        if was_unverified || (self.job.verify() && self.depot.is_cached(&digest)) {
            match self.verify(index, digest).await {
                ScrubOutcome::Verified => return Ok(()),
                ScrubOutcome::Failed(error) if !was_unverified => return Err(error_chain(&error).to_string()),
                stopped @ ScrubOutcome::Stopped => return Err(describe(&stopped)),
                // An unverified blob that cannot be read, such as one that was restored as another user, is replaced.
                ScrubOutcome::Corrupt | ScrubOutcome::Unreadable | ScrubOutcome::Missing | ScrubOutcome::Failed(_) => {
                    self.job.update(index, |items| items.set_corrupt(index));
                }
            }
        }
        // An operator may have fixed the cause of a cached error.
        self.depot.forget_failure(&asset.digest);
        self.depot.fetch_cancellable(asset).await.map_err(|error| error.to_string())
    }

    /// Verifies a blob, until the job ends.
    async fn verify(&self, index: usize, digest: Digest) -> ScrubOutcome {
        // The semaphore is never closed.
        let permit = Arc::clone(self.verifying).acquire_owned().await;
        let hashed = Arc::new(AtomicU64::new(0));
        self.job.update(index, |items| items.hashing(index, Some(Arc::clone(&hashed))));
        let (cache, ended) = (self.depot.cache().clone(), self.job.ended().clone());
        let work = move || {
            // Held until the thread is done, even if this future is dropped before.
            let _permit = permit;
            cache.verify_watched(&digest, &mut |done| {
                hashed.store(done, Ordering::Relaxed);
                if ended.is_cancelled() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            })
        };
        let outcome = blocking(work).await;
        self.job.update(index, |items| items.hashing(index, None));
        outcome
    }

    /// Changes an item and publishes it.
    fn update(&self, index: usize, change: impl FnOnce(&mut Items)) {
        if let Some(item) = self.job.update(index, change) {
            self.publish(JobEvent::Item { job: self.job.id(), item });
        }
    }

    fn publish(&self, event: JobEvent) {
        // Fails only if there are no subscribers.
        let _ = self.events.send(event);
    }
}

/// The outcome of a verification, for operators.
fn describe(outcome: &ScrubOutcome) -> String {
    match outcome {
        ScrubOutcome::Verified => "the blob is valid".to_owned(),
        ScrubOutcome::Corrupt => {
            "the blob was corrupt; it is in quarantine, and is fetched again on the next request".to_owned()
        }
        ScrubOutcome::Unreadable => {
            "the disk cannot read the blob; it is in quarantine, and is fetched again on the next request".to_owned()
        }
        ScrubOutcome::Missing => "it is not in the cache".to_owned(),
        ScrubOutcome::Failed(error) => error_chain(error).to_string(),
        ScrubOutcome::Stopped => "the job ended before the blob was verified".to_owned(),
    }
}
