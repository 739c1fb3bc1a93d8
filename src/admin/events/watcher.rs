//! Looks for what is new since the last look, and makes events of it. What changes often is told at most twice a second: it is
//! looked at that often, and told if it is another than before.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;

use tokio::sync::broadcast;
use tokio::sync::broadcast::error::TryRecvError;

use super::Topic;
use super::ring::Event;
use crate::admin::shelf::Shelf;
use crate::admin::state::AdminState;
use crate::admin::status::current_status;
use crate::api::{
    AssetState, FillView, JobItem, JobView, LastReload, MachineView, PastFill, PastTransfer, ReleaseView, TransferView,
};
use crate::asset::{AssetName, Digest};
use crate::boot::{Mac, MachineStatus, ReleaseStatus};
use crate::depot::{FillEvent, FillStatus, TransferEvent, TransferFacts};
use crate::jobs::{JobEvent, JobStatus};

/// Looks between two looks at what changes often, at what takes longer to look at, and at the whole.
const OFTEN: u64 = 2;
const SELDOM: u64 = 4;
const WHOLE: u64 = 8;

/// Events of one topic that one look adds; the oldest beyond it are counted and left out. Some 2,000 transfers a second are
/// more than anybody reads one by one.
const MAX_PER_TOPIC: usize = 512;
/// The most events that one look adds: for each topic its events and the count of those left out.
pub(super) const MAX_BATCH: usize = Topic::ALL.len() * (MAX_PER_TOPIC + 1);

/// What tells one machine from another.
type MachineKey = (Option<String>, Option<Mac>, Option<IpAddr>);

/// What was seen at the last look.
pub(super) struct Watcher {
    state: AdminState,
    looks: u64,
    transfers: broadcast::Receiver<TransferEvent>,
    fill_events: broadcast::Receiver<FillEvent>,
    job_events: broadcast::Receiver<JobEvent>,
    fills: HashMap<Digest, FillStatus>,
    jobs: HashMap<u64, JobStatus>,
    machines: HashMap<MachineKey, MachineStatus>,
    releases: HashMap<String, ReleaseStatus>,
    assets: HashMap<AssetName, (AssetState, bool)>,
    reload: Option<LastReload>,
}

/// What one look found.
#[derive(Default)]
struct News {
    events: Vec<Event>,
    /// By topic: events that are not in `events`, because they were too many.
    omitted: [u64; Topic::ALL.len()],
}

/// How many events of a topic a reader was spared. It has to fetch what it shows of this topic again.
#[derive(serde::Serialize)]
struct Omitted {
    topic: &'static str,
    count: u64,
}

impl News {
    fn tell(&mut self, topic: Topic, name: &str, data: &impl serde::Serialize) {
        self.events.extend(Event::new(topic, name, data));
    }

    fn omit(&mut self, topic: Topic, count: u64) {
        self.omitted[topic as usize] += count;
    }

    /// The newest [`MAX_PER_TOPIC`] events of each topic, in order, and how many of each topic are left out.
    fn into_batch(mut self) -> Vec<Event> {
        let mut over = [0; Topic::ALL.len()];
        for event in &self.events {
            over[event.topic() as usize] += 1;
        }
        for count in &mut over {
            *count = usize::saturating_sub(*count, MAX_PER_TOPIC);
        }
        for topic in Topic::ALL {
            self.omit(topic, over[topic as usize] as u64);
        }
        // Vec::retain visits each event once, in order: the oldest of a topic go.
        self.events.retain(|event| {
            let left = &mut over[event.topic() as usize];
            let goes = *left > 0;
            *left -= usize::from(goes);
            !goes
        });
        for topic in Topic::ALL {
            let count = self.omitted[topic as usize];
            if count > 0 {
                self.tell(topic, "omitted", &Omitted { topic: topic.as_str(), count });
            }
        }
        self.events
    }
}

impl Watcher {
    /// Begins with how everything is now.
    pub(super) fn begin(state: &AdminState) -> Self {
        let depot = state.boot.depot();
        let mut watcher = Self {
            state: state.clone(),
            looks: 0,
            // Before everything else: what changes meanwhile is told twice rather than never.
            transfers: depot.transfers(),
            fill_events: depot.fill_events(),
            job_events: state.jobs.subscribe(),
            fills: HashMap::new(),
            jobs: HashMap::new(),
            machines: HashMap::new(),
            releases: HashMap::new(),
            assets: HashMap::new(),
            reload: (state.reloading.standing)().last_reload,
        };
        let mut known = News::default();
        watcher.look_at_machines(&mut known);
        watcher.look_at_releases(&mut known);
        watcher.look_at_assets(&mut known);
        watcher
    }

    /// All that is new. Takes some milliseconds where there are thousands of assets, and blocks for a look at the disk.
    pub(super) fn look(&mut self) -> Vec<Event> {
        let mut news = News::default();
        // Before what is told of them: one that ends meanwhile is told of as one that runs, and then as one that ended.
        if self.looks.is_multiple_of(OFTEN) {
            self.look_at_fills(&mut news);
        }
        self.drain_transfers(&mut news);
        self.drain_fills(&mut news);
        self.drain_jobs(&mut news);
        if self.looks.is_multiple_of(OFTEN) {
            self.look_at_machines(&mut news);
            self.look_at_releases(&mut news);
            self.look_at_reload(&mut news);
        }
        if self.looks.is_multiple_of(SELDOM) {
            self.look_at_assets(&mut news);
        }
        if self.looks.is_multiple_of(WHOLE) {
            news.tell(Topic::Status, "status", &current_status(&self.state));
        }
        self.looks += 1;
        news.into_batch()
    }

    /// Of a transfer that began and ended since the last look only the end is told, which says all.
    fn drain_transfers(&mut self, news: &mut News) {
        let (mut began, mut ended): (Vec<Arc<TransferFacts>>, Vec<_>) = (Vec::new(), Vec::new());
        for event in drain(&mut self.transfers, Topic::Transfer, news) {
            match event {
                TransferEvent::Began(facts) => began.push(facts),
                TransferEvent::Ended(facts, end) => ended.push((facts, end)),
            }
        }
        let ids: HashSet<_> = ended.iter().map(|(facts, _)| facts.id).collect();
        began.retain(|facts| !ids.contains(&facts.id));
        // Before their views are made, which look hosts up.
        let over = ended.len().saturating_sub(MAX_PER_TOPIC);
        ended.drain(..over);
        news.omit(Topic::Transfer, over as u64);
        let (boot, depot) = (&self.state.boot, self.state.boot.depot());
        let mut views: Vec<_> = began.iter().map(|facts| depot.transfer_view(facts, 0, None)).collect();
        let mut past: Vec<_> = ended.iter().map(|(facts, end)| depot.past_transfer(facts, end)).collect();
        boot.name_hosts(views.iter_mut().chain(past.iter_mut().map(|past| &mut past.transfer)));
        for transfer in views {
            news.tell(Topic::Transfer, "transfer", &TransferView::from(transfer));
        }
        for transfer in past {
            news.tell(Topic::Transfer, "transfer-ended", &PastTransfer::from(transfer));
        }
    }

    fn drain_fills(&mut self, news: &mut News) {
        for event in drain(&mut self.fill_events, Topic::Fill, news) {
            match event {
                FillEvent::Began(fill) => {
                    self.fills.insert(fill.digest, fill.clone());
                    news.tell(Topic::Fill, "fill", &FillView::from(fill));
                }
                FillEvent::Ended(fill) => {
                    self.fills.remove(&fill.digest);
                    news.tell(Topic::Fill, "fill-ended", &PastFill::from(fill));
                }
            }
        }
    }

    fn look_at_fills(&mut self, news: &mut News) {
        let fills: HashMap<_, _> =
            self.state.boot.depot().fills().into_iter().map(|fill| (fill.digest, fill)).collect();
        for (digest, fill) in &fills {
            if self.fills.get(digest) != Some(fill) {
                news.tell(Topic::Fill, "fill", &FillView::from(fill.clone()));
            }
        }
        self.fills = fills;
    }

    /// Jobs tell of themselves no more often than they should; of what they told since the last look the last counts.
    fn drain_jobs(&mut self, news: &mut News) {
        let mut last: Vec<JobStatus> = Vec::new();
        for event in drain(&mut self.job_events, Topic::Job, news) {
            match event {
                JobEvent::Item { job, item } => {
                    news.tell(Topic::Job, "job-item", &JobItem { job, item: item.into() });
                }
                JobEvent::Job(job) => match last.iter_mut().find(|known| known.id == job.id) {
                    Some(known) => *known = job,
                    None => last.push(job),
                },
            }
        }
        for job in last {
            if self.jobs.get(&job.id) != Some(&job) {
                news.tell(Topic::Job, "job", &JobView::from(job.clone()));
            }
            if job.ended.is_some() {
                self.jobs.remove(&job.id);
            } else {
                self.jobs.insert(job.id, job);
            }
        }
    }

    fn look_at_machines(&mut self, news: &mut News) {
        let key = |machine: &MachineStatus| {
            // A machine that is known by its MAC is the same wherever it is, and whatever it is called.
            let address = if machine.mac.is_none() { machine.address } else { None };
            let name = if machine.mac.is_none() && address.is_none() { machine.name.clone() } else { None };
            (name, machine.mac, address)
        };
        let machines: HashMap<_, _> =
            self.state.boot.machines().into_iter().map(|machine| (key(&machine), machine)).collect();
        for (key, machine) in &machines {
            if self.machines.get(key) != Some(machine) {
                news.tell(Topic::Host, "host", &MachineView::from(machine.clone()));
            }
        }
        self.machines = machines;
    }

    fn look_at_releases(&mut self, news: &mut News) {
        let releases: HashMap<_, _> =
            self.state.boot.releases().list().into_iter().map(|view| (view.name.clone(), view)).collect();
        for (name, release) in &releases {
            if self.releases.get(name) != Some(release) {
                news.tell(Topic::Release, "release", &ReleaseView::from(release.clone()));
            }
        }
        self.releases = releases;
    }

    fn look_at_assets(&mut self, news: &mut News) {
        let (stock, catalog) = (Shelf::look(&self.state.boot), self.state.boot.depot().catalog());
        let mut seen = HashMap::with_capacity(catalog.len());
        for asset in catalog.assets() {
            let state = (stock.state(asset), stock.is_pinned(asset));
            if self.assets.get(&asset.name) != Some(&state) {
                news.tell(Topic::Asset, "asset", &stock.view(asset));
            }
            seen.insert(asset.name.clone(), state);
        }
        self.assets = seen;
    }

    fn look_at_reload(&mut self, news: &mut News) {
        let last = (self.state.reloading.standing)().last_reload;
        if last != self.reload {
            if let Some(last) = &last {
                news.tell(Topic::Reload, "reload", last);
            }
            self.reload = last;
        }
    }
}

/// All that waits in a channel. What the channel dropped counts as left out.
fn drain<T: Clone>(channel: &mut broadcast::Receiver<T>, topic: Topic, news: &mut News) -> Vec<T> {
    let mut found = Vec::new();
    loop {
        match channel.try_recv() {
            Ok(event) => found.push(event),
            Err(TryRecvError::Lagged(count)) => news.omit(topic, count),
            Err(TryRecvError::Empty | TryRecvError::Closed) => return found,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batch_over_limit_keeps_newest_and_counts_rest() {
        let mut news = News::default();
        news.omit(Topic::Transfer, 7);
        for n in 0..MAX_PER_TOPIC + 3 {
            news.tell(Topic::Transfer, "transfer-ended", &n);
            news.tell(Topic::Host, "host", &n);
        }
        news.tell(Topic::Fill, "fill", &1);
        let batch = news.into_batch();
        assert!(batch.len() <= MAX_BATCH);
        let of = |topic| batch.iter().filter(move |event| event.topic() == topic).map(Event::text).collect::<Vec<_>>();
        let transfers = of(Topic::Transfer);
        assert_eq!(transfers.len(), MAX_PER_TOPIC + 1);
        assert_eq!(transfers[0], "event: transfer-ended\ndata: 3\n\n");
        assert_eq!(transfers[MAX_PER_TOPIC], "event: omitted\ndata: {\"topic\":\"transfer\",\"count\":10}\n\n");
        assert_eq!(of(Topic::Host).last(), Some(&"event: omitted\ndata: {\"topic\":\"host\",\"count\":3}\n\n"));
        assert_eq!(of(Topic::Fill), ["event: fill\ndata: 1\n\n"]);
    }

    #[test]
    fn lagged_channel_counts_as_omitted() {
        let (sender, mut receiver) = broadcast::channel(4);
        for n in 0..10 {
            sender.send(n).unwrap();
        }
        let mut news = News::default();
        assert_eq!(drain(&mut receiver, Topic::Job, &mut news), [6, 7, 8, 9]);
        assert_eq!(news.omitted[Topic::Job as usize], 6);
    }
}
