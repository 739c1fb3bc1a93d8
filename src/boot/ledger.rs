//! The ledger: what each machine did in its last boots, step by step. It takes note and decides nothing.
//!
//! This file is the handle that everybody shares. `books` are what is known, pure; `attempt` and `step` what is written in
//! them; `state` says how a boot stands; `journal` keeps them across restarts; `view` is what others see.

mod attempt;
mod books;
mod journal;
mod key;
mod neighbours;
mod role;
mod state;
mod step;
#[cfg(test)]
mod tests;
mod view;

use std::collections::{HashMap, HashSet};
use std::io;
use std::net::IpAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use jiff::{SignedDuration, Timestamp};
use strum::VariantArray as _;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

pub use role::Role;
pub use state::State;
pub use view::{BootStatus, MachineStatus, StepStatus};

use self::books::{Begun, Books, UnderWay};
use self::journal::Journal;
use self::key::Key;
use self::step::{Ending, kept};
use super::{Mac, Machine};
use crate::depot::{Depot, TransferEnd, TransferEvent, TransferFacts, timestamp};

/// How long changes are gathered before they are written.
const GATHERED: Duration = Duration::from_secs(1);
/// How long to wait with the next try after the journal could not be written.
const MENDED: Duration = Duration::from_secs(10);
/// For how long after its last step a boot is counted.
const COUNTED: SignedDuration = SignedDuration::from_hours(24);
/// How old the neighbour table may be that a new address is looked up in.
const NEIGHBOURS_FRESH: Duration = Duration::from_secs(1);

/// The ledger. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct Ledger {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    books: Mutex<Books>,
    /// Taken by whoever writes it.
    journal: Mutex<Option<Journal>>,
}

impl Ledger {
    /// A ledger that is kept nowhere.
    pub fn in_memory() -> Self {
        Self { shared: Arc::default() }
    }

    /// The ledger that is kept in this directory, which must be this process's alone. Where its file cannot be read, the log
    /// says so, the file stays as it is, and the ledger is kept nowhere. Blocks.
    pub fn open(dir: &Path) -> Self {
        let (books, journal) = match Journal::open(dir) {
            Ok((journal, lines)) => (Books::of(lines).kept(), Some(journal)),
            Err(error) => {
                warn!(dir = %dir.display(), %error, "the boot ledger cannot be read; it begins anew, and is not kept");
                (Books::default(), None)
            }
        };
        Self { shared: Arc::new(Shared { books: Mutex::new(books), journal: Mutex::new(journal) }) }
    }

    /// What the ledger in this directory says, for looking at it alone. Blocks.
    pub fn read(dir: &Path) -> io::Result<Self> {
        let books = Books::of(Journal::read(dir)?);
        Ok(Self { shared: Arc::new(Shared { books: Mutex::new(books), journal: Mutex::default() }) })
    }

    /// A DHCP answer went out to this machine: the architecture it said it has (RFC 4578 2.1) and the file it was given.
    /// An answer that only `confirms` what was offered before is part of the same answer.
    pub fn offered(&self, machine: &Machine, arch: u16, file: &str, confirms: bool) {
        if let Some(mac) = machine.mac {
            self.books().offered(mac, arch, file, confirms, now());
        }
    }

    /// A script was made for this machine at `peer`: for which host and profile, and what it names.
    pub fn scripted(
        &self,
        machine: &Machine,
        peer: IpAddr,
        host: Option<&str>,
        profile: Option<&str>,
        named: &[(Role, String)],
    ) {
        let plan = named.iter().map(|(role, name)| (*role, kept(name))).collect();
        self.books().scripted(machine.mac, peer.to_canonical(), host, profile, plan, now());
    }

    /// Takes note of transfers until `end` or until the depot is gone, and of all that it told of before.
    pub async fn follow(&self, depot: &Depot, end: &CancellationToken) {
        let mut transfers = depot.transfer_events();
        let mut neighbours = Neighbours::default();
        loop {
            let told = match end.run_until_cancelled(transfers.recv()).await {
                Some(told) => told,
                // What the last transfers told waits to be read.
                None => match transfers.try_recv() {
                    Ok(event) => Ok(event),
                    Err(TryRecvError::Lagged(missed)) => Err(RecvError::Lagged(missed)),
                    Err(TryRecvError::Empty | TryRecvError::Closed) => return,
                },
            };
            match told {
                Ok(TransferEvent::Began(facts)) => {
                    let begun = begun(&facts);
                    if self.books().is_stranger(begun.peer, begun.at)
                        && let Some(mac) = neighbours.mac_of(begun.peer).await
                    {
                        self.books().neighbour(begun.peer, mac, begun.at);
                    }
                    let size = depot.find(&facts.name).and_then(|asset| depot.known_size(&asset));
                    let mut books = self.books();
                    books.began(&begun);
                    books.sized(facts.id, size);
                }
                Ok(TransferEvent::Ended(facts, end)) => {
                    let size = depot.find(&facts.name).and_then(|asset| depot.known_size(&asset));
                    self.ended(&facts, &end, size);
                }
                Err(RecvError::Lagged(missed)) => {
                    warn!(missed, "the boot ledger was too slow for some transfers and does not have them");
                    self.books().cut();
                }
                Err(RecvError::Closed) => return,
            }
        }
    }

    /// Writes what changed to the ledger's file, about once a second, until `end`, and once more then. While the disk is full
    /// or cannot be written the log says so once, and the ledger goes on in memory.
    pub async fn keep(&self, end: CancellationToken) {
        let mut failing = false;
        let mut ending = false;
        while !ending {
            let pause = if failing { MENDED } else { GATHERED };
            ending = end.run_until_cancelled(tokio::time::sleep(pause)).await.is_none();
            let ledger = self.clone();
            // It is neither aborted nor does it panic; if it did, the next one would try again.
            let Ok(written) = tokio::task::spawn_blocking(move || ledger.write()).await else { continue };
            match &written {
                Ok(()) if failing => info!("the boot ledger is kept again"),
                Err(error) if !failing => {
                    warn!(%error, "the boot ledger cannot be written; it goes on in memory until that is mended");
                }
                Err(error) => debug!(%error, "the boot ledger still cannot be written"),
                Ok(()) => {}
            }
            failing = written.is_err();
        }
    }

    /// Every machine that was seen, as it stands now; the last seen first. `sent` is what each transfer under way has sent
    /// by now, by its id.
    pub fn machines(&self, sent: &HashMap<u64, u64>) -> Vec<MachineStatus> {
        let now = now();
        let books = self.books();
        let under_way = books.under_way(sent);
        let mut machines: Vec<_> =
            books.pages().map(|(key, page)| MachineStatus::of(key, page, &under_way, now)).collect();
        machines.sort_by(|a, b| (b.seen, &a.mac, &a.address).cmp(&(a.seen, &b.mac, &b.address)));
        machines
    }

    /// How many machines' last boots stand in each state, of those that were seen within the last day: what was taken out
    /// of its rack is stuck for ever, and concerns nobody.
    pub(super) fn count(&self) -> Vec<(State, u32)> {
        let now = now();
        let mut counts: Vec<_> = State::VARIANTS.iter().map(|state| (*state, 0)).collect();
        for (_, page) in self.books().pages() {
            if let Some(last) = page.attempts.back().filter(|last| !last.is_quiet(COUNTED, now)) {
                let state = state::standing(last, now).state;
                counts.iter_mut().filter(|(counted, _)| *counted == state).for_each(|(_, count)| *count += 1);
            }
        }
        counts
    }

    /// The machine of this host name, MAC in any spelling, or address, with its boots; `sent` as for
    /// [`Ledger::machines`].
    pub fn machine(&self, who: &str, sent: &HashMap<u64, u64>) -> Option<MachineStatus> {
        let books = self.books();
        let key = match who.parse() {
            Ok(Key::Address(address)) => books.at_address(address.to_canonical()),
            Ok(key) => Some(key),
            Err(_) => {
                let named = books.pages().filter(|(_, page)| page.host.as_deref() == Some(who));
                named.max_by_key(|(_, page)| page.last()).map(|(key, _)| *key)
            }
        }?;
        let under_way: UnderWay = books.under_way(sent);
        books.page(&key).map(|page| MachineStatus::with_boots(&key, page, &under_way, now()))
    }

    /// The host that was last seen at each of these addresses, where one was.
    pub fn hosts_at(&self, addresses: impl IntoIterator<Item = IpAddr>) -> HashMap<IpAddr, String> {
        let wanted: HashSet<IpAddr> = addresses.into_iter().map(|address| address.to_canonical()).collect();
        let books = self.books();
        let mut found: HashMap<IpAddr, (Timestamp, String)> = HashMap::new();
        for (_, page) in books.pages() {
            let (Some(address), Some(host)) = (page.address, &page.host) else { continue };
            if wanted.contains(&address) && found.get(&address).is_none_or(|(last, _)| *last < page.last()) {
                found.insert(address, (page.last(), host.clone()));
            }
        }
        found.into_iter().map(|(address, (_, host))| (address, host)).collect()
    }

    fn ended(&self, facts: &TransferFacts, end: &TransferEnd, size: Option<u64>) {
        let ending = Ending { outcome: end.outcome, cache: end.cache, bytes: end.sent, size };
        self.books().ended(&begun(facts), &ending, timestamp(facts.began + end.took));
    }

    /// Brings the journal up to date.
    fn write(&self) -> io::Result<()> {
        let mut journal = self.shared.journal.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(journal) = journal.as_mut() else { return Ok(()) };
        let lines = if journal.is_overgrown() { None } else { Some(self.books().changes()) };
        match lines {
            None => journal.rewrite(&self.everything()),
            Some(lines) if lines.is_empty() => Ok(()),
            Some(lines) => journal.append(&lines),
        }
        .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", journal.path().display())))
    }

    fn everything(&self) -> Vec<journal::Line> {
        self.books().all()
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.shared.books.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The neighbour table as it was last read.
#[derive(Default)]
struct Neighbours {
    known: HashMap<IpAddr, Mac>,
    read: Option<Instant>,
}

impl Neighbours {
    /// The MAC of this address, where it is on a segment of ours.
    async fn mac_of(&mut self, peer: IpAddr) -> Option<Mac> {
        if peer.is_loopback() || peer.is_ipv6() {
            return None;
        }
        if self.read.is_none_or(|read| read.elapsed() >= NEIGHBOURS_FRESH) {
            self.known = tokio::task::spawn_blocking(neighbours::read).await.unwrap_or_default();
            self.read = Some(Instant::now());
        }
        self.known.get(&peer).copied()
    }
}

fn begun(facts: &TransferFacts) -> Begun<'_> {
    Begun {
        id: facts.id,
        protocol: facts.protocol,
        peer: facts.peer.ip().to_canonical(),
        name: &facts.name,
        at: timestamp(facts.began),
    }
}

fn now() -> Timestamp {
    timestamp(SystemTime::now())
}
