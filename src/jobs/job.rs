//! One job: what it is of, how far it is, and how it ended.

use std::sync::atomic::Ordering;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use super::item::{Item, Items};
use super::work::Work;
use super::{ItemView, JobKind, JobState, JobView};
use crate::depot::{Depot, Rate, Retention, RetentionReason};

/// A job, running or ended.
pub(super) struct Job {
    id: u64,
    kind: JobKind,
    what: String,
    verify: bool,
    keep_going: bool,
    began: Timestamp,
    /// It is over: ends what is under way.
    over: CancellationToken,
    books: Mutex<Books>,
}

struct Books {
    items: Items,
    state: JobState,
    ended: Option<Timestamp>,
    rate: Rate,
    /// What the job is of stays in the cache until it ends: its later items push out none of its earlier ones.
    holds: Vec<Retention>,
}

impl Job {
    /// A job of this work, begun now. What needs no work is done already.
    pub(super) fn new(id: u64, work: Work, depot: &Depot) -> Self {
        let Work { kind, what, verify, keep_going, items } = work;
        let mut items = Items::new(items);
        let mut holds = Vec::new();
        if kind == JobKind::Preload {
            let assets = items.list().iter().filter_map(|item| item.asset.as_ref());
            holds = assets.map(|asset| depot.retain(asset, RetentionReason::Job(id))).collect();
        }
        if kind == JobKind::Preload && !verify {
            for index in items.waiting() {
                // After the holds, so that it stays.
                if let Some(size) = depot.cache().size_of(&items.list()[index].digest) {
                    items.begin(index);
                    items.done(index, Some(size));
                }
            }
        }
        let rate = Rate::new(Instant::now(), items.bytes().done);
        let books = Books { items, state: JobState::Running, ended: None, rate, holds };
        let (began, over) = (Timestamp::now(), CancellationToken::new());
        Self { id, kind, what, verify, keep_going, began, over, books: Mutex::new(books) }
    }

    pub(super) fn id(&self) -> u64 {
        self.id
    }

    pub(super) fn kind(&self) -> JobKind {
        self.kind
    }

    /// Whether what is here is hashed again.
    pub(super) fn verify(&self) -> bool {
        self.verify
    }

    /// Whether it goes on after a failure.
    pub(super) fn keep_going(&self) -> bool {
        self.keep_going
    }

    /// Cancelled when it is over, in whichever way.
    pub(super) fn over(&self) -> &CancellationToken {
        &self.over
    }

    /// Those items whose turn has not come.
    pub(super) fn waiting(&self) -> Vec<usize> {
        self.books().items.waiting()
    }

    /// The item at `index` as it is now.
    pub(super) fn item(&self, index: usize) -> Item {
        self.books().items.list()[index].clone()
    }

    /// Changes the books of the item at `index`, unless the job is over. Returns how the item stands then.
    pub(super) fn note(&self, index: usize, change: impl FnOnce(&mut Items)) -> Option<ItemView> {
        let mut books = self.books();
        (books.state == JobState::Running).then(|| {
            change(&mut books.items);
            books.items.list()[index].view()
        })
    }

    /// Ends it, if it runs: as `state` says, else as its items came out. Returns the items that were cut short, with what
    /// came of them, or how it has ended already.
    pub(super) fn end(&self, depot: &Depot, state: Option<JobState>) -> Result<Vec<ItemView>, JobState> {
        let (cut, holds) = {
            let mut books = self.refreshed(depot);
            if books.state != JobState::Running {
                return Err(books.state);
            }
            let failed = books.items.assets().failed > 0;
            books.state = state.unwrap_or(if failed { JobState::Failed } else { JobState::Done });
            books.ended = Some(Timestamp::now());
            let cut = books.items.cancel_rest();
            let views = cut.into_iter().map(|index| books.items.list()[index].view()).collect();
            (views, std::mem::take(&mut books.holds))
        };
        self.over.cancel();
        drop(holds);
        Ok(cut)
    }

    /// Forgets those of its items that did not fail. For one that has ended.
    pub(super) fn forget_items(&self) {
        self.books().items.forget();
    }

    /// As it stands now, with its items.
    pub(super) fn view(&self, depot: &Depot) -> JobView {
        let mut books = self.refreshed(depot);
        let items = books.items.list().iter().map(Item::view).collect();
        JobView { items, ..self.sum(&mut books) }
    }

    /// The same without the items.
    pub(super) fn summary(&self, depot: &Depot) -> JobView {
        self.sum(&mut self.refreshed(depot))
    }

    fn sum(&self, books: &mut Books) -> JobView {
        let bytes = books.items.bytes();
        let rate = if books.state == JobState::Running { books.rate.at(Instant::now(), bytes.done) } else { 0 };
        JobView {
            id: self.id,
            kind: self.kind,
            what: self.what.clone(),
            state: books.state,
            began: self.began,
            ended: books.ended,
            assets: books.items.assets(),
            bytes,
            rate,
            items: Vec::new(),
        }
    }

    /// The books with the progress of what is under way.
    fn refreshed(&self, depot: &Depot) -> MutexGuard<'_, Books> {
        let mut books = self.books();
        for index in books.items.running() {
            let item = &books.items.list()[index];
            let (bytes, size) = match (&item.hashed, &item.asset) {
                (Some(hashed), _) => (hashed.load(Ordering::Relaxed), None),
                (None, Some(asset)) => {
                    let progress = depot.progress(asset);
                    (progress.bytes, progress.size)
                }
                (None, None) => continue,
            };
            books.items.progress(index, bytes, size);
        }
        books
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
