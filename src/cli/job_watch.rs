//! Follows a job to its end: the event stream says when it has changed, a request says how it is then.

use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};

use super::client::{ApiClient, ClientError, Event, EventStream, Topic};
use crate::api::JobView;
use crate::jobs::JobState;

/// When to look at a job before events are subscribed to: hashing a small asset takes less time than an event.
const EARLY: [Duration; 5] = [
    Duration::from_millis(5),
    Duration::from_millis(10),
    Duration::from_millis(20),
    Duration::from_millis(40),
    Duration::from_millis(80),
];

/// A job with more items than this is fetched less often: each look is a long list.
const MANY: usize = 1000;
/// The least time between two looks at such a job.
const MANY_INTERVAL: Duration = Duration::from_secs(1);

/// A job that is being followed.
pub(super) struct JobWatch<'c> {
    client: &'c ApiClient,
    job: JobView,
    fetched: Instant,
    early: std::slice::Iter<'static, Duration>,
    events: Option<EventStream>,
    /// An event came, and the job was not fetched since.
    stale: bool,
}

impl<'c> JobWatch<'c> {
    /// Follows a job that was just started.
    pub(super) fn new(client: &'c ApiClient, job: JobView) -> Self {
        Self { client, job, fetched: Instant::now(), early: [].iter(), events: None, stale: false }
    }

    /// The same for a job that may end within milliseconds.
    pub(super) fn of_short(client: &'c ApiClient, job: JobView) -> Self {
        Self { early: EARLY.iter(), ..Self::new(client, job) }
    }

    /// The job as it was last fetched.
    pub(super) fn job(&self) -> &JobView {
        &self.job
    }

    /// Waits until the job may have changed, then fetches it. Cancel safe.
    pub(super) async fn changed(&mut self) -> anyhow::Result<()> {
        if let Some(pause) = self.early.next() {
            sleep(*pause).await;
        } else if !self.stale {
            self.event().await?;
            self.stale = true;
        }
        if self.job.items.len() > MANY {
            sleep_until(self.fetched + MANY_INTERVAL).await;
        }
        let now = self.client.job(self.job.id).await?;
        // Another server's jobs have the same numbers.
        anyhow::ensure!(now.began == self.job.began, "the server was started again");
        (self.job, self.fetched, self.stale) = (now, Instant::now(), false);
        Ok(())
    }

    /// Waits for the job's end, and returns it.
    pub(super) async fn ended(mut self) -> anyhow::Result<JobView> {
        while self.job.state == JobState::Running {
            self.changed().await?;
        }
        Ok(self.job)
    }

    /// Waits for an event of the job. Returns at once after it has subscribed: earlier events are lost.
    async fn event(&mut self) -> Result<(), ClientError> {
        let Some(events) = &mut self.events else {
            self.events = Some(self.client.events(&[Topic::Job]).await?);
            return Ok(());
        };
        let id = self.job.id;
        let concerns = |event: &Event| match event {
            Event::Job(job) => job.id == id,
            Event::JobItem(change) => change.job == id,
            Event::Missed => true,
            Event::Host(_) | Event::Release(_) => false,
        };
        while !events.next().await?.iter().any(concerns) {}
        Ok(())
    }
}
