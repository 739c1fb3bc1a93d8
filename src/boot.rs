//! Which machine boots what, and how far each has come. It knows the depot and no protocol: the front ends hand it what
//! a request says of a machine, and send what it answers.
//!
//! [`Roster`] is what the operator wrote: hosts and profiles, checked as a whole. [`Releases`] says which assets are live.
//! [`Boot`] makes scripts and hosts' files of both, and [`Ledger`] keeps the books of what machines did.

mod file;
mod host;
mod ledger;
mod links;
mod machine;
mod needs;
mod references;
mod releases;
mod roster;
mod script;
mod settings;
mod template;
#[cfg(test)]
mod tests;
mod token;

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard};

use bytes::Bytes;

pub use host::{Host, Profile};
pub use ledger::{BootStatus, Ledger, MachineStatus, Role, State, StepStatus};
pub use machine::{Mac, MacError, Machine, Uuid, UuidError};
pub use references::ReferenceError;
pub(crate) use references::most_alike;
pub use releases::{ActivateError, NotLive, RECORD_FILE, ReleaseState, ReleaseStatus, Releases};
pub use roster::{Roster, RosterError, RosterProblem, Subject};
pub use script::{Language, Script, Trouble};
pub use settings::{FileSettings, HostSettings, IscsiSettings, Keys, ProfileSettings, RosterSettings, TemplateText};

use self::file::MakeError;
use self::links::{Mint, Resolve};
use self::script::Making;
use self::token::Tokens;
use crate::catalog::Release;
use crate::depot::{Depot, DepotConfig, TransferRecord, TransferStatus};
use crate::span::{Kind, Span};

/// Where a request came from, and how this server is reached from there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Visit {
    /// The client's address.
    pub peer: IpAddr,
    /// The base of URLs for this client, such as `http://boot.lab:8080`, without a slash at its end.
    pub base: String,
}

/// What the front ends know of this room. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct Boot {
    shared: Arc<Shared>,
}

struct Shared {
    /// Held by whoever makes a script or a file, so that all that it names is of one state of the settings.
    roster: RwLock<Arc<Roster>>,
    releases: Releases,
    ledger: Ledger,
    depot: Depot,
    tokens: Arc<Tokens>,
    /// Why what the settings say is not all of it, as a sentence.
    trouble: Mutex<Option<String>>,
}

/// A file that was made for one host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostFile {
    /// Its bytes.
    pub content: Bytes,
    /// Its media type.
    pub content_type: String,
}

/// Why a host's file is not given out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FileError {
    /// There is no such host, or it has no such file.
    #[error("no host has this file")]
    Missing,
    /// It is for the host alone, and this is not the host, or the token was used or is none.
    #[error("this file is for its own host alone: {0}")]
    Refused(String),
    /// It cannot be made now; the reason is for the log alone.
    #[error("{0}")]
    Failed(String),
}

impl Boot {
    /// The room over these.
    pub fn new(roster: Roster, releases: Releases, ledger: Ledger, depot: Depot) -> Self {
        let roster = RwLock::new(Arc::new(roster));
        Self {
            shared: Arc::new(Shared {
                roster,
                releases,
                ledger,
                depot,
                tokens: Arc::default(),
                trouble: Mutex::default(),
            }),
        }
    }

    /// Goes over to other settings, the depot's stock included: whoever asks for a script gets all of it from before or all of
    /// it from after. What machines did, and the tokens they hold, stay. Blocks for the operators' pins, while nobody waits.
    pub fn change(&self, stock: DepotConfig, releases: Vec<Release>, roster: Roster) {
        let roster = Arc::new(roster);
        let mut current = self.shared.roster.write().unwrap_or_else(PoisonError::into_inner);
        self.shared.depot.reconfigure(stock);
        self.shared.releases.set(releases);
        let before = std::mem::replace(&mut *current, roster);
        drop(current);
        drop(before);
        // Not under the lock: the disk takes its time, and machines ask for their scripts.
        self.shared.depot.save_pins();
    }

    fn settled(&self) -> RwLockReadGuard<'_, Arc<Roster>> {
        self.shared.roster.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The hosts and profiles, as the settings have them now.
    pub fn roster(&self) -> Arc<Roster> {
        Arc::clone(&self.settled())
    }

    /// A room without hosts, profiles and releases: what a server is that only serves assets.
    pub fn plain(depot: Depot) -> Self {
        Self::new(Roster::default(), Releases::none(depot.clone()), Ledger::in_memory(), depot)
    }

    /// The entry script for iPXE (`/boot.ipxe`, TFTP `autoexec.ipxe`): sends a machine on to `/ipxe` with everything that
    /// iPXE knows of it.
    pub fn entry(&self, visit: &Visit) -> String {
        self.roster().entry(visit, Language::Ipxe)
    }

    /// The script of this machine for iPXE. Always one: where something is wrong, it says so and tries again.
    pub fn ipxe(&self, machine: &Machine, visit: &Visit) -> String {
        self.script(machine, visit, Language::Ipxe)
    }

    /// The configuration of this machine for GRUB: the same in its language. Of a request that says nothing, the entry
    /// configuration, which asks again with everything that GRUB knows.
    pub fn grub(&self, machine: &Machine, visit: &Visit) -> String {
        if *machine == Machine::default() {
            return self.roster().entry(visit, Language::Grub);
        }
        self.script(machine, visit, Language::Grub)
    }

    fn script(&self, machine: &Machine, visit: &Visit, language: Language) -> String {
        let span = Span::begin("script", Kind::Internal);
        let Shared { ledger, tokens, .. } = &*self.shared;
        let mint = Mint::For(Arc::clone(tokens), visit.peer);
        let script = {
            let roster = self.settled();
            Making::new(&roster, machine, visit, language, self.resolve(), mint).make()
        };
        let (host, profile) = (script.host.as_deref(), script.profile.as_deref());
        span.text("bootdepot.host", host.unwrap_or_default());
        span.text("bootdepot.profile", profile.unwrap_or_default());
        if let Some(trouble) = &script.trouble {
            span.text("bootdepot.trouble", trouble);
        }
        match &script.trouble {
            None => tracing::debug!(peer = %visit.peer, host, profile, "script"),
            Some(trouble @ (Trouble::Unknown | Trouble::NotLive(NotLive::Fetching { .. } | NotLive::Inactive(_)))) => {
                tracing::info!(peer = %visit.peer, %machine, host, profile, "a machine has to wait: {trouble}");
            }
            Some(trouble) => tracing::warn!(peer = %visit.peer, host, profile, "no script: {trouble}"),
        }
        if let Some(host) = host {
            tokens.went_to(host, visit.peer);
        }
        ledger.scripted(machine, visit.peer, host, profile, &script.named);
        script.text
    }

    /// What references mean now.
    fn resolve(&self) -> Resolve {
        let releases = self.shared.releases.clone();
        Arc::new(move |reference| releases.find(reference).map(|asset| asset.name.clone()))
    }

    /// The file `file` of the host `host`, made for this visit; `token` is what the URL carries.
    pub async fn file(
        &self,
        host: &str,
        file: &str,
        token: Option<&str>,
        visit: &Visit,
    ) -> Result<HostFile, FileError> {
        let tokens = &self.shared.tokens;
        let (made, spec) = loop {
            let roster = self.roster();
            let host = roster.host(host).ok_or(FileError::Missing)?;
            let spec = host.files.get(file).ok_or(FileError::Missing)?;
            if spec.only_from_host {
                let admitted = tokens.admit(&host.name, file, token, visit.peer);
                admitted.map_err(|error| FileError::Refused(error.to_string()))?;
            }
            let secrets = file::reveal(&host.secrets).await.map_err(|error| {
                tracing::warn!(host = host.name, file, error, "a file cannot be made for want of a secret");
                FileError::Failed(error)
            })?;
            let mint = Mint::For(Arc::clone(tokens), visit.peer);
            let settled = self.settled();
            // Else the settings changed while Vault was asked.
            if Arc::ptr_eq(&roster, &settled) {
                let made = file::render(&roster, host, file, visit, self.resolve(), mint, &secrets);
                break (made, spec.clone());
            }
        };
        match made {
            Ok(text) => {
                if let Some(token) = token.filter(|_| spec.only_from_host) {
                    tokens.used(token);
                }
                Ok(HostFile { content: text.into(), content_type: spec.content_type.clone() })
            }
            Err(MakeError::Missing) => Err(FileError::Missing),
            Err(error) => Err(FileError::Failed(error.to_string())),
        }
    }

    /// The host that this machine is, if anybody named it.
    pub fn host(&self, machine: &Machine) -> Option<Arc<Host>> {
        self.roster().find(machine)
    }

    /// Which assets are live.
    pub fn releases(&self) -> &Releases {
        &self.shared.releases
    }

    /// What stands in the way of being ready, a sentence each; empty when nothing does.
    pub fn troubles(&self) -> Vec<String> {
        let own = self.shared.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone();
        [Vec::from_iter(own), self.shared.depot.readiness_problems(), self.shared.releases.troubles()].concat()
    }

    /// Says why what the settings say is not all of it, as a sentence; nothing when it is. Not ready until then.
    pub fn set_trouble(&self, trouble: Option<String>) {
        *self.shared.trouble.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
    }

    /// Sets the gauges `bootdepot_ready` and `bootdepot_boots`.
    pub fn report(&self) {
        metrics::gauge!("bootdepot_ready").set(if self.troubles().is_empty() { 1.0 } else { 0.0 });
        for (state, machines) in self.shared.ledger.count() {
            metrics::gauge!("bootdepot_boots", "state" => state.as_str()).set(machines);
        }
    }

    /// What machines did.
    pub fn ledger(&self) -> &Ledger {
        &self.shared.ledger
    }

    /// Where assets come from.
    pub fn depot(&self) -> &Depot {
        &self.shared.depot
    }

    /// The transfers under way, the oldest first, each with what it has sent by now and the host that it is to.
    pub fn open_transfers(&self) -> Vec<TransferStatus> {
        let mut open = self.shared.depot.open_transfers();
        self.name_hosts(open.iter_mut());
        open
    }

    /// The last transfers that ended, the newest first, each with the host that it was to.
    pub fn past_transfers(&self) -> Vec<TransferRecord> {
        let mut past = self.shared.depot.past_transfers();
        self.name_hosts(past.iter_mut().map(|past| &mut past.transfer));
        past
    }

    /// Gives each of these transfers the name of the host at its peer's address.
    pub fn name_hosts<'t>(&self, transfers: impl Iterator<Item = &'t mut TransferStatus>) {
        let transfers: Vec<_> = transfers.collect();
        let hosts = self.shared.ledger.hosts_at(transfers.iter().map(|transfer| transfer.peer.ip()));
        for transfer in transfers {
            transfer.host = hosts.get(&transfer.peer.ip().to_canonical()).cloned();
        }
    }

    /// Every machine that was seen, the last seen first, and then every host that was not.
    pub fn machines(&self) -> Vec<MachineStatus> {
        let mut machines = self.shared.ledger.machines(&self.shared.depot.sent_so_far());
        for machine in &mut machines {
            self.complete(machine);
        }
        let seen: HashSet<_> = machines.iter().filter_map(|machine| machine.name.clone()).collect();
        let roster = self.roster();
        let unseen = roster.hosts().iter().filter(|host| !seen.contains(&host.name));
        machines.extend(unseen.map(|host| MachineStatus {
            name: Some(host.name.clone()),
            profile: Some(host.profile.name.clone()),
            ..MachineStatus::default()
        }));
        machines
    }

    /// The machine of this host name, MAC in any spelling, or address, with its boots.
    pub fn machine(&self, who: &str) -> Option<MachineStatus> {
        let sent = self.shared.depot.sent_so_far();
        let mut found = self.shared.ledger.machine(who, &sent).or_else(|| {
            // A host that only DHCP has seen so far is in the ledger by its MAC alone.
            let known = self.machines().into_iter().find(|machine| machine.name.as_deref() == Some(who))?;
            match &known.mac {
                Some(mac) => self.shared.ledger.machine(&mac.to_string(), &sent),
                None => Some(known),
            }
        })?;
        self.complete(&mut found);
        Some(found)
    }

    /// Says of a machine what the ledger cannot know: its name, and how much there is of what it fetches right now.
    fn complete(&self, machine: &mut MachineStatus) {
        self.name(machine);
        let depot = &self.shared.depot;
        let steps = machine.boots.iter_mut().flat_map(|boot| &mut boot.steps).chain(&mut machine.last_step);
        for step in steps.filter(|step| step.open > 0 && step.size.is_none()) {
            step.size = depot.find(&step.name).and_then(|asset| depot.progress(&asset).size);
        }
    }

    /// Gives a machine the name that the settings have for its MAC, where no script has given it one.
    fn name(&self, machine: &mut MachineStatus) {
        if machine.name.is_none()
            && machine.mac.is_some()
            && let Some(host) = self.host(&Machine { mac: machine.mac, ..Machine::default() })
        {
            machine.name = Some(host.name.clone());
        }
    }
}
