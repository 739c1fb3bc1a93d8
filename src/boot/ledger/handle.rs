//! The handle to the ledger: records DHCP answers, scripts and transfers, and writes the journal.

use std::collections::{HashMap, HashSet};
use std::io;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use jiff::{SignedDuration, Timestamp};
use parking_lot::{Mutex, MutexGuard};
use strum::VariantArray as _;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::arp::ArpTable;
use super::index::{Index, TransferStart};
use super::journal::Journal;
use super::key::MachineKey;
use super::machine_status::MachineStatus;
use super::state::State;
use super::status::AttemptStatus;
use super::step::{EndRecord, stored_name};
use crate::boot::machine::Machine;
use crate::boot::role::Role;
use crate::depot::{Depot, TransferEnd, TransferEvent, TransferFacts, timestamp};
use crate::task;

/// The interval between writes of the journal.
const WRITE_INTERVAL: Duration = Duration::from_secs(1);
/// The pause after a failed write of the journal.
const RETRY_INTERVAL: Duration = Duration::from_secs(10);
/// How long after its last step a boot counts in the metrics.
const COUNTED: SignedDuration = SignedDuration::from_hours(24);

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

    /// Records a DHCP answer to a machine: its architecture (RFC 4578 2.1) and the boot file it was sent. `confirms`: the
    /// answer repeats an earlier offer, and is not counted again.
    pub fn record_offer(&self, machine: &Machine, arch: u16, file: &str, confirms: bool) {
        if let Some(mac) = machine.mac {
            self.index().record_offer(mac, arch, file, confirms, now());
        }
    }

    /// Records a script for a machine at `peer`: its host and profile, and the assets and files that it names.
    pub fn record_script(
        &self,
        machine: &Machine,
        peer: IpAddr,
        host: Option<&str>,
        profile: Option<&str>,
        named: &[(Role, String)],
    ) {
        let plan = named.iter().map(|(role, name)| (*role, stored_name(name))).collect();
        self.index().record_script(machine.mac, peer.to_canonical(), host, profile, plan, now());
    }

    /// Records the depot's transfers until `end` is cancelled or the depot is dropped, including all events sent before that.
    pub async fn follow(&self, depot: &Depot, end: &CancellationToken) {
        let mut transfers = depot.transfer_events();
        let mut arp = ArpTable::default();
        loop {
            let event = match end.run_until_cancelled(transfers.recv()).await {
                Some(event) => event,
                // Events of the last transfers may still be queued.
                None => match transfers.try_recv() {
                    Ok(event) => Ok(event),
                    Err(TryRecvError::Lagged(missed)) => Err(RecvError::Lagged(missed)),
                    Err(TryRecvError::Empty | TryRecvError::Closed) => return,
                },
            };
            match event {
                Ok(TransferEvent::Began(facts)) => {
                    let begun = begun(&facts);
                    if self.index().is_unknown(begun.peer, begun.at)
                        && let Some(mac) = arp.mac_of(begun.peer).await
                    {
                        self.index().record_arp(begun.peer, mac, begun.at);
                    }
                    let size = depot.find(&facts.name).and_then(|asset| depot.known_size(&asset));
                    let mut index = self.index();
                    index.transfer_began(&begun);
                    index.set_size(facts.id, size);
                }
                Ok(TransferEvent::Ended(facts, end)) => {
                    let size = depot.find(&facts.name).and_then(|asset| depot.known_size(&asset));
                    self.ended(&facts, &end, size);
                }
                Err(RecvError::Lagged(missed)) => {
                    warn!(missed, "boot ledger missed transfer events");
                    self.index().close_all();
                }
                Err(RecvError::Closed) => return,
            }
        }
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

    /// Counts the machines by the state of their last boot. Machines not seen within the last day are left out: a server
    /// that was removed from its rack would count as stuck for ever.
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

    /// Returns the machine with this host name, MAC (in any spelling) or address, with its boots. `sent` as for
    /// [`Ledger::machines`].
    pub fn machine(&self, query: &str, sent: &HashMap<u64, u64>) -> Option<MachineStatus> {
        let index = self.index();
        let key = match query.parse() {
            Ok(MachineKey::Address(address)) => index.at_address(address.to_canonical()),
            Ok(key) => Some(key),
            Err(_) => {
                let named = index.machines().filter(|(_, machine)| machine.host.as_deref() == Some(query));
                named.max_by_key(|(_, machine)| machine.last()).map(|(key, _)| *key)
            }
        }?;
        let sent = index.bytes_sent(sent);
        index.machine(&key).map(|machine| MachineStatus::with_boots(&key, machine, &sent, now()))
    }

    /// Returns the host that was last seen at each address.
    pub fn hosts_at(&self, addresses: impl IntoIterator<Item = IpAddr>) -> HashMap<IpAddr, String> {
        let wanted: HashSet<IpAddr> = addresses.into_iter().map(|address| address.to_canonical()).collect();
        let index = self.index();
        let mut found: HashMap<IpAddr, (Timestamp, String)> = HashMap::new();
        for (_, machine) in index.machines() {
            let (Some(address), Some(host)) = (machine.address, &machine.host) else { continue };
            if wanted.contains(&address) && found.get(&address).is_none_or(|(last, _)| *last < machine.last()) {
                found.insert(address, (machine.last(), host.clone()));
            }
        }
        found.into_iter().map(|(address, (_, host))| (address, host)).collect()
    }

    fn ended(&self, facts: &TransferFacts, end: &TransferEnd, size: Option<u64>) {
        let end_record = EndRecord { outcome: end.outcome, cache: end.cache, bytes: end.sent, size };
        self.index().transfer_ended(&begun(facts), &end_record, timestamp(facts.began + end.took));
    }

    /// Brings the journal up to date.
    pub(super) fn write(&self) -> io::Result<()> {
        let mut journal = self.shared.journal.lock();
        let Some(journal) = journal.as_mut() else { return Ok(()) };
        let lines = if journal.needs_rewrite() { None } else { Some(self.index().take_changes()) };
        match lines {
            None => journal.rewrite(&self.index().all_lines()),
            Some(lines) if lines.is_empty() => Ok(()),
            Some(lines) => journal.append(&lines),
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
