//! Doing a job: its items one after the other, a few at a time.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::StreamExt as _;
use futures_util::stream;
use tokio::sync::{Semaphore, broadcast};

use super::item::Item;
use super::job::Job;
use super::{JobEvent, JobKind, Selection, StartError, Task};
use crate::asset::Digest;
use crate::boot::Boot;
use crate::cache::ScrubOutcome;
use crate::catalog::Asset;
use crate::depot::Depot;

/// What a task comes to: whose turn comes when.
pub(super) struct Work {
    pub(super) kind: JobKind,
    pub(super) what: String,
    pub(super) verify: bool,
    pub(super) keep_going: bool,
    pub(super) items: Vec<Item>,
}

impl Work {
    /// The work of this task, as catalog and cache are now. Memory only.
    pub(super) fn of(task: Task, boot: &Boot) -> Result<Self, StartError> {
        let depot = boot.depot();
        let item = |asset: Arc<Asset>| {
            let size = depot.known_size(&asset);
            Item::new(asset.name.to_string(), asset.digest, Some(asset), size)
        };
        Ok(match task {
            Task::Preload { selection, verify, keep_going } => {
                let items = selection.resolve(boot)?.into_iter().map(item).collect();
                Self { kind: JobKind::Preload, what: selection.in_words(), verify, keep_going, items }
            }
            Task::Verify { assets } => {
                let selection = Selection::of_assets(assets);
                let named = |asset: &Asset| selection.assets.iter().any(|name| name == asset.name.as_str());
                let resolved = selection.resolve(boot)?.into_iter();
                let wanted = resolved.filter(|asset| depot.is_proven(&asset.digest) || named(asset));
                let items = wanted.map(item).collect();
                Self { kind: JobKind::Verify, what: selection.in_words(), verify: true, keep_going: true, items }
            }
            Task::Scrub => Self {
                kind: JobKind::Scrub,
                what: "all blobs".to_owned(),
                verify: true,
                keep_going: true,
                items: blobs(depot),
            },
        })
    }
}

/// Every blob of the cache, under the name of an asset where it is one's; those longest not hashed first.
fn blobs(depot: &Depot) -> Vec<Item> {
    let catalog = depot.catalog();
    let lists: HashMap<Digest, String> = catalog
        .assets()
        .filter_map(|asset| Some((asset.blocks.as_ref()?.digest, format!("{} (block list)", asset.name))))
        .collect();
    let mut blobs = depot.cache().list();
    blobs.sort_unstable_by_key(|blob| (blob.verified, blob.digest));
    let item = |blob: &crate::cache::BlobInfo| {
        let name = match catalog.by_digest(&blob.digest).first() {
            Some(asset) => asset.name.to_string(),
            None => lists.get(&blob.digest).cloned().unwrap_or_else(|| blob.digest.to_string()),
        };
        Item::new(name, blob.digest, None, Some(blob.size))
    };
    blobs.iter().map(item).collect()
}

/// Works the job off. Dropped on the way it withdraws its wishes; what it is over for it ends at once.
pub(super) async fn work(job: &Job, depot: &Depot, hashing: &Arc<Semaphore>, events: &broadcast::Sender<JobEvent>) {
    // Half of the fills that may run: those that machines wait for have their turn beside a preload.
    let at_a_time = if job.kind() == JobKind::Preload { depot.max_fills().div_ceil(2) } else { 1 };
    {
        let one = |index| one(job, depot, hashing, events, index);
        let errands = stream::iter(job.waiting()).map(one).buffer_unordered(at_a_time);
        let mut errands = std::pin::pin!(errands);
        while let Some(Some(went_well)) = job.over().run_until_cancelled(errands.next()).await {
            if !went_well && !job.keep_going() {
                break;
            }
        }
        // Here the wishes of those under way end.
    }
    // Who cancelled it has told of what that cut.
    for item in job.end(depot, None).unwrap_or_default() {
        tell(events, JobEvent::Item { job: job.id(), item });
    }
}

/// Sees one item through. Returns whether it went well.
async fn one(
    job: &Job,
    depot: &Depot,
    hashing: &Arc<Semaphore>,
    events: &broadcast::Sender<JobEvent>,
    index: usize,
) -> bool {
    let say = |view| {
        if let Some(item) = view {
            tell(events, JobEvent::Item { job: job.id(), item });
        }
    };
    say(job.note(index, |items| items.begin(index)));
    let item = job.item(index);
    let outcome = match (&item.asset, job.kind()) {
        (Some(asset), JobKind::Preload) => bring(job, depot, hashing, index, asset).await,
        _ => match hash(job, depot, hashing, index, item.digest).await {
            ScrubOutcome::Verified => Ok(()),
            lost => Err(in_words(&lost)),
        },
    };
    let went_well = outcome.is_ok();
    let size = depot.cache().size_of(&item.digest);
    say(job.note(index, |items| match outcome {
        Ok(()) => items.done(index, size),
        Err(error) => items.fail(index, error),
    }));
    went_well
}

/// Brings an asset into the cache, and proves it anew where it is here and that was asked for.
async fn bring(
    job: &Job,
    depot: &Depot,
    hashing: &Arc<Semaphore>,
    index: usize,
    asset: &Arc<Asset>,
) -> Result<(), String> {
    if job.verify() && depot.is_proven(&asset.digest) {
        match hash(job, depot, hashing, index, asset.digest).await {
            ScrubOutcome::Verified => return Ok(()),
            ScrubOutcome::Corrupt | ScrubOutcome::Unreadable | ScrubOutcome::Missing => {
                job.note(index, |items| items.rotted(index));
            }
            stuck @ (ScrubOutcome::Failed(_) | ScrubOutcome::Stopped) => return Err(in_words(&stuck)),
        }
    }
    // An operator who asks knows more than a failure of a while ago.
    depot.forget_failure(&asset.digest);
    depot.fetch_while_wanted(asset).await.map_err(|error| error.to_string())
}

/// Hashes a blob again, until the job is over.
async fn hash(job: &Job, depot: &Depot, hashing: &Arc<Semaphore>, index: usize, digest: Digest) -> ScrubOutcome {
    // The semaphore is never closed.
    let turn = Arc::clone(hashing).acquire_owned().await;
    let hashed = Arc::new(AtomicU64::new(0));
    job.note(index, |items| items.hashing(index, Some(Arc::clone(&hashed))));
    let (cache, over) = (depot.cache().clone(), job.over().clone());
    let work = move || {
        // Until the thread is done, whoever waits for it.
        let _turn = turn;
        cache.verify_watched(&digest, &mut |done| {
            hashed.store(done, Ordering::Relaxed);
            if over.is_cancelled() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })
    };
    // It neither panics nor is aborted, but by a runtime that goes down.
    let outcome = tokio::task::spawn_blocking(work).await.unwrap_or(ScrubOutcome::Stopped);
    job.note(index, |items| items.hashing(index, None));
    outcome
}

fn in_words(outcome: &ScrubOutcome) -> String {
    match outcome {
        ScrubOutcome::Verified => "it is as it should be".to_owned(),
        ScrubOutcome::Corrupt => {
            "its bytes were not what they should be; they are in quarantine, and are fetched again when it is asked for"
                .to_owned()
        }
        ScrubOutcome::Unreadable => {
            "the disk cannot read it any more; it is in quarantine, and is fetched again when it is asked for"
                .to_owned()
        }
        ScrubOutcome::Missing => "it is not in the cache".to_owned(),
        ScrubOutcome::Failed(error) => crate::error_chain::error_chain(error).to_string(),
        ScrubOutcome::Stopped => "the job ended before it was hashed".to_owned(),
    }
}

fn tell(events: &broadcast::Sender<JobEvent>, event: JobEvent) {
    // Nobody listens: nobody misses it.
    let _ = events.send(event);
}
