//! The sources that an attempt of a fill reads at the same time: usually one. Starts the connections of each, asks for slow
//! parts again, and adds the next source when there is no progress.

use std::sync::Arc;
use std::time::{Duration, Instant};

use metrics::counter;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::MissedTickBehavior;
use tracing::info;

use super::claim::Claim;
use super::fill::Fill;
use super::pace::{Pace, SourceIndex};
use super::part_fetcher::PartFetcher;
use super::resuming_read::ResumingRead;
use super::source_access::SourceAccess;
use super::source_error::{AttemptError, SourceError};
use super::source_queue::SourceQueue;
use crate::cache::Partial;
use crate::span;
use crate::task;

/// Reads for each connection of a source at most, those of slow parts included.
const MAX_READS: usize = 3;

/// The sources that are read at the same time.
pub(super) struct Lanes {
    fill: Arc<Fill>,
    partial: Arc<Partial>,
    /// Connections of each source.
    connections: usize,
    stall: Duration,
    all: Vec<Lane>,
    fetchers: JoinSet<(SourceIndex, Result<(), SourceError>)>,
    /// Slow parts that were asked for again; logged at the first.
    slow_parts: u64,
}

/// One source that is read.
struct Lane {
    fetcher: Arc<PartFetcher>,
    /// Its connections. Empty if the source has failed.
    connections: Vec<AbortHandle>,
}

impl Lanes {
    /// Begins with the source of `access` and its open read `first`, if there is one.
    pub(super) fn new(
        fill: &Arc<Fill>,
        partial: &Arc<Partial>,
        connections: usize,
        stall: Duration,
        (access, first): (Arc<SourceAccess>, Option<ResumingRead>),
    ) -> Self {
        *fill.pace() = Pace::default();
        let mut lanes = Self {
            fill: Arc::clone(fill),
            partial: Arc::clone(partial),
            connections: connections.max(1),
            stall,
            all: Vec::new(),
            fetchers: JoinSet::new(),
            slow_parts: 0,
        };
        lanes.add(access, first);
        lanes
    }

    /// Reads until every byte is written. Sources that fail are settled in `queue`; fails when none is left.
    pub(super) async fn run(&mut self, queue: &mut SourceQueue) -> Result<(), AttemptError> {
        let mut ticks = tokio::time::interval(Pace::interval(self.stall).max(Duration::from_millis(1)));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ticks.tick().await;
        loop {
            tokio::select! {
                joined = self.fetchers.join_next() => {
                    let Some(joined) = joined else { return Ok(()) };
                    if let Some((index, result)) = task::joined(joined)? {
                        self.after_end(index, result, queue)?;
                    }
                }
                _ = ticks.tick() => self.tick(queue),
            }
        }
    }

    /// Puts the sources that were added and have not failed back into `queue`, except the first, which is returned.
    pub(super) fn release(self, queue: &mut SourceQueue) -> Option<Arc<SourceAccess>> {
        let active = self.all.into_iter().filter(|lane| !lane.connections.is_empty());
        let mut active: Vec<_> = active.map(|lane| Arc::clone(&lane.fetcher.access)).collect();
        while active.len() > 1 {
            active.pop().into_iter().for_each(|access| queue.put_back(access));
        }
        active.pop()
    }

    /// Adds a source. Returns its number.
    fn add(&mut self, access: Arc<SourceAccess>, first: Option<ResumingRead>) -> SourceIndex {
        let is_stream = access.is_stream() || first.as_ref().is_some_and(ResumingRead::is_stream);
        let connections = if is_stream { 1 } else { self.connections };
        let index = self.all.len();
        let (fill, partial) = (Arc::clone(&self.fill), Arc::clone(&self.partial));
        let fetcher = Arc::new(PartFetcher { fill, partial, access, index });
        let first = first.map(|read| (Claim::of(&self.fill, index, read.rest()), read));
        self.all.push(Lane { fetcher: Arc::clone(&fetcher), connections: Vec::new() });
        self.spawn(index, Arc::clone(&fetcher).run(first));
        for _ in 1..connections {
            self.spawn(index, Arc::clone(&fetcher).run(None));
        }
        index
    }

    fn spawn(&mut self, index: SourceIndex, work: impl Future<Output = Result<(), SourceError>> + Send + 'static) {
        let work = async move { (index, work.await) };
        let handle = self.fetchers.spawn(self.fill.track(span::carry(work)));
        self.all[index].connections.push(handle);
    }

    /// Handles the end of one connection.
    fn after_end(
        &mut self,
        index: SourceIndex,
        result: Result<(), SourceError>,
        queue: &mut SourceQueue,
    ) -> Result<(), AttemptError> {
        let error = match result {
            Ok(()) => return Ok(()),
            Err(error @ (SourceError::Cache(_) | SourceError::Panicked(_))) => return Err(error.into()),
            Err(error) => error,
        };
        let lane = &mut self.all[index];
        // The other connections of the source would fail likewise.
        let others = std::mem::take(&mut lane.connections);
        if others.is_empty() {
            return Ok(());
        }
        others.iter().for_each(AbortHandle::abort);
        queue.settle(Arc::clone(&lane.fetcher.access), error, false);
        let is_last = self.all.iter().all(|lane| lane.connections.is_empty());
        if is_last { Err(AttemptError::Settled) } else { Ok(()) }
    }

    /// Asks for slow parts again, and adds the next source if none makes progress.
    fn tick(&mut self, queue: &mut SourceQueue) {
        let now = Instant::now();
        let slow = self.fill.pace().tick(now, self.stall);
        // The newest source is the one that is not slow, as far as known.
        let newest = self.all.iter().rposition(|lane| !lane.connections.is_empty());
        for rest in slow {
            let Some(index) = newest.filter(|_| self.fill.pace().active() < MAX_READS * self.connections) else {
                break;
            };
            let fetcher = Arc::clone(&self.all[index].fetcher);
            if self.slow_parts == 0 {
                let (asset, source) = (&self.fill.asset().name, fetcher.access.source());
                info!(%asset, %source, bytes = %rest, "slow part: asking for it again");
            }
            self.slow_parts += 1;
            counter!("bootdepot_slow_parts_total", "action" => "asked-again").increment(1);
            let claim = Claim::of(&self.fill, index, rest);
            self.spawn(index, fetcher.run_once(claim));
        }
        let is_stalled = self.fill.pace().is_stalled(now, self.stall);
        if is_stalled
            && let Some(slow) = self.all.last().map(|lane| Arc::clone(&lane.fetcher.access))
            && let Some(access) = queue.join(&slow)
        {
            // The new source fetches the same bytes as the stalled ones, and the first bytes win.
            let rests = self.fill.pace().double_all(now);
            let index = self.add(access, None);
            for rest in rests {
                let claim = Claim::of(&self.fill, index, rest);
                self.spawn(index, Arc::clone(&self.all[index].fetcher).run_once(claim));
            }
        }
        // Idle connections look whether a read has become slow enough for a race.
        self.fill.notify();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn fetcher_panic_is_not_origin_failure() {
        let mut fetchers: JoinSet<()> = JoinSet::new();
        fetchers.spawn(async { std::panic::resume_unwind(Box::new("a bug")) });
        let error = AttemptError::from(task::joined(fetchers.join_next().await.unwrap()).unwrap_err());
        assert!(matches!(error, AttemptError::Failed(SourceError::Panicked(_))));
    }
}
