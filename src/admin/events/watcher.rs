//! Polls the server for changes and turns them into events. State that changes often is polled twice a second, and sent only if
//! it differs from the last poll.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;

use tokio::sync::broadcast;
use tokio::sync::broadcast::error::TryRecvError;

use super::batch::{EventBatch, MAX_PER_TOPIC};
use super::event::Event;
use super::topic::Topic;
use crate::admin::cache_snapshot::CacheSnapshot;
use crate::admin::state::AdminState;
use crate::admin::status::current_status;
use crate::api::{
    AssetState, FillView, JobItem, JobView, LastReload, MachineView, PastFill, PastTransfer, ReleaseView, TransferView,
};
use crate::asset::{AssetName, Digest};
use crate::boot::{Mac, MachineStatus, ReleaseStatus};
use crate::depot::{FillEvent, FillStatus, TransferEvent, TransferFacts};
use crate::jobs::{JobEvent, JobStatus};

/// How many polls pass between two polls of fills, machines, releases and reloads.
const FAST_POLLS: u64 = 2;
/// How many polls pass between two polls of all assets, which take longer.
const ASSET_POLLS: u64 = 4;
/// How many polls pass between two status events.
const STATUS_POLLS: u64 = 8;

/// Identifies a machine: its MAC, else its address, else its name.
type MachineKey = (Option<String>, Option<Mac>, Option<IpAddr>);

/// The state of the server at the last poll.
pub(super) struct ChangeWatcher {
    state: AdminState,
    polls: u64,
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

impl ChangeWatcher {
    /// Subscribes to all changes from now on, and takes the current state as known. Blocks.
    pub(super) fn new(state: &AdminState) -> Self {
        let depot = state.boot.depot();
        let mut watcher = Self {
            state: state.clone(),
            polls: 0,
            // Subscribed before the state is read: a change in between is sent twice rather than never.
            transfers: depot.transfer_events(),
            fill_events: depot.fill_events(),
            job_events: state.jobs.subscribe(),
            fills: HashMap::new(),
            jobs: HashMap::new(),
            machines: HashMap::new(),
            releases: HashMap::new(),
            assets: HashMap::new(),
            reload: (state.reloading.standing)().last_reload,
        };
        let mut known = EventBatch::default();
        watcher.poll_machines(&mut known);
        watcher.poll_releases(&mut known);
        watcher.poll_assets(&mut known);
        watcher
    }

    /// Returns the events since the last poll. Takes some milliseconds with thousands of assets, and blocks on the disk.
    pub(super) fn poll(&mut self) -> Vec<Event> {
        let mut batch = EventBatch::default();
        // Before the fill events: a fill that ends in between is sent as running, and then as ended.
        if self.polls.is_multiple_of(FAST_POLLS) {
            self.poll_fills(&mut batch);
        }
        self.drain_transfers(&mut batch);
        self.drain_fills(&mut batch);
        self.drain_jobs(&mut batch);
        if self.polls.is_multiple_of(FAST_POLLS) {
            self.poll_machines(&mut batch);
            self.poll_releases(&mut batch);
            self.poll_reload(&mut batch);
        }
        if self.polls.is_multiple_of(ASSET_POLLS) {
            self.poll_assets(&mut batch);
        }
        if self.polls.is_multiple_of(STATUS_POLLS) {
            batch.push(Topic::Status, "status", &current_status(&self.state));
        }
        self.polls += 1;
        batch.into_events()
    }

    /// A transfer that began and ended since the last poll is sent only as ended, which includes all its data.
    fn drain_transfers(&mut self, batch: &mut EventBatch) {
        let (mut began, mut ended): (Vec<Arc<TransferFacts>>, Vec<_>) = (Vec::new(), Vec::new());
        for event in drain(&mut self.transfers, Topic::Transfer, batch) {
            match event {
                TransferEvent::Began(facts) => began.push(facts),
                TransferEvent::Ended(facts, end) => ended.push((facts, end)),
            }
        }
        let ids: HashSet<_> = ended.iter().map(|(facts, _)| facts.id).collect();
        began.retain(|facts| !ids.contains(&facts.id));
        // Before the views are built, which look up hosts.
        let over = ended.len().saturating_sub(MAX_PER_TOPIC);
        ended.drain(..over);
        batch.omit(Topic::Transfer, over as u64);
        let (boot, depot) = (&self.state.boot, self.state.boot.depot());
        let mut views: Vec<_> = began.iter().map(|facts| depot.transfer_view(facts, 0, None)).collect();
        let mut past: Vec<_> = ended.iter().map(|(facts, end)| depot.past_transfer(facts, end)).collect();
        boot.name_hosts(views.iter_mut().chain(past.iter_mut().map(|past| &mut past.transfer)));
        for transfer in views {
            batch.push(Topic::Transfer, "transfer", &TransferView::from(transfer));
        }
        for transfer in past {
            batch.push(Topic::Transfer, "transfer-ended", &PastTransfer::from(transfer));
        }
    }

    fn drain_fills(&mut self, batch: &mut EventBatch) {
        for event in drain(&mut self.fill_events, Topic::Fill, batch) {
            match event {
                FillEvent::Began(fill) => {
                    self.fills.insert(fill.digest, fill.clone());
                    batch.push(Topic::Fill, "fill", &FillView::from(fill));
                }
                FillEvent::Ended(fill) => {
                    self.fills.remove(&fill.digest);
                    batch.push(Topic::Fill, "fill-ended", &PastFill::from(fill));
                }
            }
        }
    }

    fn poll_fills(&mut self, batch: &mut EventBatch) {
        let fills: HashMap<_, _> =
            self.state.boot.depot().fills().into_iter().map(|fill| (fill.digest, fill)).collect();
        for (digest, fill) in &fills {
            if self.fills.get(digest) != Some(fill) {
                batch.push(Topic::Fill, "fill", &FillView::from(fill.clone()));
            }
        }
        self.fills = fills;
    }

    /// Sends only the last of several updates of one job since the last poll.
    fn drain_jobs(&mut self, batch: &mut EventBatch) {
        let mut last: Vec<JobStatus> = Vec::new();
        for event in drain(&mut self.job_events, Topic::Job, batch) {
            match event {
                JobEvent::Item { job, item } => {
                    batch.push(Topic::Job, "job-item", &JobItem { job, item: item.into() });
                }
                JobEvent::Job(job) => match last.iter_mut().find(|known| known.id == job.id) {
                    Some(known) => *known = job,
                    None => last.push(job),
                },
            }
        }
        for job in last {
            if self.jobs.get(&job.id) != Some(&job) {
                batch.push(Topic::Job, "job", &JobView::from(job.clone()));
            }
            if job.ended.is_some() {
                self.jobs.remove(&job.id);
            } else {
                self.jobs.insert(job.id, job);
            }
        }
    }

    fn poll_machines(&mut self, batch: &mut EventBatch) {
        let key = |machine: &MachineStatus| {
            // A machine with a known MAC stays the same when its address or its name changes.
            let address = if machine.mac.is_none() { machine.address } else { None };
            let name = if machine.mac.is_none() && address.is_none() { machine.name.clone() } else { None };
            (name, machine.mac, address)
        };
        let machines: HashMap<_, _> =
            self.state.boot.machines().into_iter().map(|machine| (key(&machine), machine)).collect();
        for (key, machine) in &machines {
            if self.machines.get(key) != Some(machine) {
                batch.push(Topic::Host, "host", &MachineView::from(machine.clone()));
            }
        }
        let gone = self.machines.iter().filter(|(key, _)| !machines.contains_key(key));
        let gone: Vec<_> = gone.filter_map(|(_, machine)| names(machine).next()).collect();
        if !gone.is_empty() {
            // No event says that a machine was forgotten: subscribers fetch the list. One that became known by another name
            // is still there.
            let present: HashSet<_> = machines.values().flat_map(names).collect();
            batch.omit(Topic::Host, gone.iter().filter(|name| !present.contains(*name)).count() as u64);
        }
        self.machines = machines;
    }

    fn poll_releases(&mut self, batch: &mut EventBatch) {
        let releases: HashMap<_, _> =
            self.state.boot.releases().list().into_iter().map(|view| (view.name.clone(), view)).collect();
        for (name, release) in &releases {
            if self.releases.get(name) != Some(release) {
                batch.push(Topic::Release, "release", &ReleaseView::from(release.clone()));
            }
        }
        self.releases = releases;
    }

    fn poll_assets(&mut self, batch: &mut EventBatch) {
        let (snapshot, catalog) = (CacheSnapshot::take(&self.state.boot), self.state.boot.depot().catalog());
        let mut seen = HashMap::with_capacity(catalog.len());
        for asset in catalog.assets() {
            let state = (snapshot.state(&asset), snapshot.is_pinned(&asset));
            if self.assets.get(&asset.name) != Some(&state) {
                batch.push(Topic::Asset, "asset", &snapshot.view(&asset));
            }
            seen.insert(asset.name.clone(), state);
        }
        self.assets = seen;
    }

    fn poll_reload(&mut self, batch: &mut EventBatch) {
        let last = (self.state.reloading.standing)().last_reload;
        if last != self.reload {
            if let Some(last) = &last {
                batch.push(Topic::Reload, "reload", last);
            }
            self.reload = last;
        }
    }
}

/// The name, the MAC and the address of a machine, as far as they are known.
fn names(machine: &MachineStatus) -> impl Iterator<Item = String> + use<> {
    let mac = machine.mac.map(|mac| mac.to_string());
    let address = machine.address.map(|address| address.to_string());
    [machine.name.clone(), mac, address].into_iter().flatten()
}

/// Takes all events from a channel. Events that the channel dropped count as left out.
fn drain<T: Clone>(channel: &mut broadcast::Receiver<T>, topic: Topic, batch: &mut EventBatch) -> Vec<T> {
    let mut found = Vec::new();
    loop {
        match channel.try_recv() {
            Ok(event) => found.push(event),
            Err(TryRecvError::Lagged(count)) => batch.omit(topic, count),
            Err(TryRecvError::Empty | TryRecvError::Closed) => return found,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lagged_channel_counts_as_omitted() {
        let (sender, mut receiver) = broadcast::channel(4);
        for n in 0..10 {
            sender.send(n).unwrap();
        }
        let mut batch = EventBatch::default();
        assert_eq!(drain(&mut receiver, Topic::Job, &mut batch), [6, 7, 8, 9]);
        let events = batch.into_events();
        let texts: Vec<_> = events.iter().map(Event::text).collect();
        assert_eq!(texts, ["event: omitted\ndata: {\"topic\":\"job\",\"count\":6}\n\n"]);
    }
}
