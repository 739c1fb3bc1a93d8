//! The handle to the ledger: records DHCP answers, scripts and transfers, and writes the journal.

use std::collections::{HashMap, HashSet};
use std::io;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use parking_lot::{Mutex, MutexGuard};
use strum::VariantArray as _;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::end_record::EndRecord;
use super::host_cards::HostCards;
use super::index::{Index, TransferStart};
use super::journal::Journal;
use super::machine_status::{COUNTED, MachineStatus};
use super::neighbours::NeighbourTable;
use super::query::MachineQuery;
use super::report;
use super::sent_script::SentScript;
use super::state::State;
use super::status::AttemptStatus;
use crate::boot::mac::Mac;
use crate::boot::machine::Machine;
use crate::clock::timestamp;
use crate::depot::{Depot, TransferEnd, TransferEvent, TransferFacts, TransferOwner, log_transfer};
use crate::task;

/// Returns the host with this MAC.
type HostOf<'n> = &'n (dyn Fn(Mac) -> Option<HostCards> + Send + Sync);

/// The interval between writes of the journal, and between looks for verdicts to log.
const WRITE_INTERVAL: Duration = Duration::from_secs(1);
/// The pause after a failed write of the journal.
const RETRY_INTERVAL: Duration = Duration::from_secs(10);

/// The ledger. Cheap to clone; all clones share the same state.
#[derive(Clone)]
pub struct Ledger {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    index: Mutex<Index>,
    /// `None` if the ledger is in memory only.
    journal: Mutex<Option<Journal>>,
}

impl Ledger {
    /// A ledger in memory only.
    pub fn in_memory() -> Self {
        Self { shared: Arc::default() }
    }

    /// Opens the ledger in a directory, which only this process may use. If its file cannot be read, logs the error, leaves
    /// the file alone, and returns an empty ledger in memory only. Blocks.
    pub fn open(dir: &Path) -> Self {
        let (index, journal) = match Journal::open(dir) {
            Ok((journal, lines)) => (Index::from_lines(lines).with_changes(), Some(journal)),
            Err(error) => {
                warn!(dir = %dir.display(), %error, "boot ledger unreadable; starting empty, in memory only");
                (Index::default(), None)
            }
        };
        Self { shared: Arc::new(Shared { index: Mutex::new(index), journal: Mutex::new(journal) }) }
    }

    /// Reads the ledger in a directory without opening it for writes. Blocks.
    pub fn read(dir: &Path) -> io::Result<Self> {
        let index = Index::from_lines(Journal::read(dir)?);
        Ok(Self { shared: Arc::new(Shared { index: Mutex::new(index), journal: Mutex::default() }) })
    }

    /// Records a DHCP answer to a machine, which may be a host: its architecture (RFC 4578 2.1) and the boot file it was sent.
    /// `confirms`: the answer repeats an earlier offer, and is not counted again. Returns the number of the boot, if the
    /// machine is known.
    pub fn record_offer(
        &self,
        machine: &Machine,
        host: Option<&HostCards>,
        arch: u16,
        file: &str,
        confirms: bool,
    ) -> Option<u64> {
        self.index().record_offer(machine, host, arch, file, confirms, now())
    }

    /// Records a script. Returns the number of the boot.
    pub fn record_script(&self, script: SentScript<'_>) -> u64 {
        self.index().record_script(SentScript { peer: script.peer.to_canonical(), ..script }, now())
    }

    /// Records and logs the depot's transfers until `end` is cancelled or the depot is dropped, including all events sent
    /// before that. `host_of` names machines that no script has named.
    pub async fn follow(&self, depot: &Depot, host_of: HostOf<'_>, end: &CancellationToken) {
        let mut feed = depot.follow_transfers();
        let mut neighbours = NeighbourTable::default();
        let mut is_ending = false;
        // After events were missed: those that were sent before and are still to come.
        let mut behind = None;
        loop {
            let event = if is_ending {
                feed.next().await
            } else if let Some(event) = end.run_until_cancelled(feed.next()).await {
                event
            } else {
                feed.close();
                is_ending = true;
                continue;
            };
            let missed = feed.take_missed();
            if missed > 0 {
                warn!(missed, "boot ledger missed transfer events");
                behind = Some(feed.waiting());
            }
            match event {
                Some(TransferEvent::Began(facts)) => {
                    let begun = begun(&facts);
                    if self.index().is_unknown(begun.peer, begun.at)
                        && let Some(mac) = neighbours.mac_of(begun.peer).await
                    {
                        let host = host_of(mac);
                        self.index().record_neighbour(begun.peer, mac, host.as_ref(), begun.at);
                    }
                    let size = depot.find(&facts.name).and_then(|asset| depot.known_size(&asset));
                    let mut index = self.index();
                    index.transfer_began(&begun);
                    index.set_size(facts.id, size);
                }
                Some(TransferEvent::Ended(facts, end)) => {
                    let asset = depot.find(&facts.name);
                    let size = asset.as_ref().and_then(|asset| depot.known_size(asset));
                    let owner = self.ended(&facts, &end, size, asset.is_some(), host_of);
                    log_transfer(&facts, &end, &owner);
                }
                None => {
                    if behind.is_some() {
                        self.index().close_all();
                    }
                    return;
                }
            }
            if behind == Some(0) {
                self.index().close_all();
            }
            behind = behind.and_then(|events| events.checked_sub(1));
        }
    }

    /// Logs the verdict on each boot once it is clear, until `end` is cancelled.
    pub async fn report(&self, end: &CancellationToken) {
        while end.run_until_cancelled(tokio::time::sleep(WRITE_INTERVAL)).await.is_some() {
            for line in self.due_reports(now()) {
                line.log();
            }
        }
    }

    /// Returns the log lines that are due, and records that they were written.
    pub(super) fn due_reports(&self, now: Timestamp) -> Vec<report::Report> {
        let mut index = self.index();
        let due: Vec<_> = index
            .machines()
            .flat_map(|(key, machine)| report::due(key, machine, now).into_iter().map(move |line| (*key, line)))
            .collect();
        for (key, line) in &due {
            let attempts = index.machine_mut(key).map(|machine| &mut machine.attempts);
            let attempt = attempts.and_then(|all| all.iter_mut().find(|attempt| attempt.id == line.attempt));
            if let Some(attempt) = attempt {
                attempt.reported = Some(line.reported);
            }
            index.mark(line.attempt, Some(*key));
        }
        due.into_iter().map(|(_, line)| line).collect()
    }

    /// Writes changes to the journal about once a second until `end` is cancelled, and a last time then. Logs a failing disk
    /// once; the ledger continues in memory, and writing is retried.
    pub async fn persist(&self, end: CancellationToken) {
        let mut failing = false;
        let mut ending = false;
        while !ending {
            let pause = if failing { RETRY_INTERVAL } else { WRITE_INTERVAL };
            ending = end.run_until_cancelled(tokio::time::sleep(pause)).await.is_none();
            let ledger = self.clone();
            // A panic is in the log; the next iteration retries.
            let Ok(written) = task::try_blocking(move || ledger.write()).await else { continue };
            match &written {
                Ok(()) if failing => info!("boot ledger written again"),
                Err(error) if !failing => {
                    warn!(%error, "boot ledger write failed; continuing in memory and retrying");
                }
                Err(error) => debug!(%error, "boot ledger write failed again"),
                Ok(()) => {}
            }
            failing = written.is_err();
        }
    }

    /// Returns every machine that was seen, the most recent first. `sent`: the bytes that each active transfer has sent so
    /// far, by its id.
    pub fn machines(&self, sent: &HashMap<u64, u64>) -> Vec<MachineStatus> {
        let now = now();
        let index = self.index();
        let sent = index.bytes_sent(sent);
        let mut machines: Vec<_> =
            index.machines().map(|(key, record)| MachineStatus::of(key, record, &sent, now)).collect();
        machines.sort_by(|a, b| (b.seen, &a.mac, &a.address).cmp(&(a.seen, &b.mac, &b.address)));
        machines
    }

    /// Counts the machines by the state of their last boot, without those that were not seen within [`COUNTED`].
    pub(in crate::boot) fn count(&self) -> Vec<(State, u32)> {
        let now = now();
        let mut counts: Vec<_> = State::VARIANTS.iter().map(|state| (*state, 0)).collect();
        for (_, machine) in self.index().machines() {
            if let Some(last) = machine.attempts.back().filter(|last| !last.is_quiet(COUNTED, now)) {
                let state = AttemptStatus::of(last, now).state;
                counts.iter_mut().filter(|(counted, _)| *counted == state).for_each(|(_, count)| *count += 1);
            }
        }
        counts
    }

    /// Returns the machine that fits a search best, with its boots: by the name of its host, its MAC, address, UUID, serial
    /// number or asset tag, in any spelling. `sent` as for [`Ledger::machines`].
    pub fn machine(&self, query: &str, sent: &HashMap<u64, u64>) -> Option<MachineStatus> {
        let index = self.index();
        let key = index.find(&MachineQuery::new(query)).into_iter().next()?;
        let sent = index.bytes_sent(sent);
        index.machine(&key).map(|machine| MachineStatus::with_boots(&key, machine, &sent, now()))
    }

    /// Forgets the machine that [`Ledger::machine`] finds, and others of the same host. Returns how many there were.
    pub fn forget(&self, query: &str) -> usize {
        let mut index = self.index();
        let keys = index.find(&MachineQuery::new(query));
        keys.into_iter().filter(|key| index.forget(*key)).count()
    }

    /// Returns the host that was last seen at each address.
    pub fn hosts_at(&self, addresses: impl IntoIterator<Item = IpAddr>) -> HashMap<IpAddr, String> {
        let wanted: HashSet<IpAddr> = addresses.into_iter().map(|address| address.to_canonical()).collect();
        let index = self.index();
        let mut found: HashMap<IpAddr, (Timestamp, String)> = HashMap::new();
        for (_, machine) in index.machines() {
            let (Some(address), Some(host)) = (machine.identity.address(), &machine.host) else { continue };
            if wanted.contains(&address) && found.get(&address).is_none_or(|(last, _)| *last < machine.last()) {
                found.insert(address, (machine.last(), host.clone()));
            }
        }
        found.into_iter().map(|(address, (_, host))| (address, host)).collect()
    }

    fn ended(
        &self,
        facts: &TransferFacts,
        end: &TransferEnd,
        size: Option<u64>,
        listed: bool,
        host_of: HostOf<'_>,
    ) -> TransferOwner {
        let TransferEnd { outcome, cache, sent, .. } = *end;
        let record = EndRecord { outcome, reason: end.detail.clone(), listed, cache, bytes: sent, size };
        let mut index = self.index();
        let owner = index.transfer_ended(&begun(facts), &record, timestamp(facts.began + end.took));
        let Some((key, attempt)) = owner else { return TransferOwner::default() };
        let Some(machine) = index.machine_mut(&key) else { return TransferOwner::default() };
        let mac = key.mac();
        if machine.host.is_none() {
            machine.host = mac.and_then(host_of).map(|host| host.name);
        }
        let boot = machine.attempts.iter().find(|found| found.id == attempt).map(|found| found.number);
        let is_known = mac.is_some() || machine.host.is_some();
        TransferOwner {
            host: machine.host.clone(),
            mac: mac.map(|mac| mac.to_string()),
            boot: boot.filter(|_| is_known),
        }
    }

    /// Brings the journal up to date.
    pub(super) fn write(&self) -> io::Result<()> {
        let mut journal = self.shared.journal.lock();
        let Some(journal) = journal.as_mut() else { return Ok(()) };
        let is_whole = journal.needs_rewrite();
        // In a statement of its own: nothing that a script needs is locked while the disk works.
        let lines = if is_whole { self.index().all_lines() } else { self.index().take_changes() };
        if is_whole {
            journal.rewrite(&lines)
        } else if lines.is_empty() {
            Ok(())
        } else {
            journal.append(&lines)
        }
        .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", journal.path().display())))
    }

    pub(super) fn index(&self) -> MutexGuard<'_, Index> {
        self.shared.index.lock()
    }
}

fn begun(facts: &TransferFacts) -> TransferStart<'_> {
    TransferStart {
        id: facts.id,
        protocol: facts.protocol,
        peer: facts.peer.ip().to_canonical(),
        name: &facts.name,
        at: timestamp(facts.began),
    }
}

pub(super) fn now() -> Timestamp {
    timestamp(SystemTime::now())
}
