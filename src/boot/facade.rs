//! The facade of this room: what the front ends know of it.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::{Mutex, RwLock, RwLockReadGuard};
use tokio_util::sync::CancellationToken;

use super::host::{BootMethod, Host};
use super::host_file::{self, RenderError};
use super::language::Language;
use super::ledger::{Identity, Ledger, MachineQuery, MachineStatus, ScriptKind, SentScript};
use super::links::{Resolve, TokenIssuer};
use super::machine::Machine;
use super::not_live::NotLive;
use super::releases::Releases;
use super::request_context::RequestContext;
use super::roster::Roster;
use super::script::{Script, ScriptBuilder, ScriptError, entry_script};
use super::token::TokenStore;
use crate::catalog::Release;
use crate::depot::{Depot, DepotConfig, TransferRecord, TransferStatus};
use crate::span::{Kind, Span};

/// The scripts, host files, releases and ledger of this server. Cheap to clone; all clones share the same state.
#[derive(Clone)]
pub struct Boot {
    shared: Arc<Shared>,
}

struct Shared {
    /// Read-locked while a script or file is rendered, so that all assets in it come from one configuration.
    roster: RwLock<Arc<Roster>>,
    releases: Releases,
    ledger: Ledger,
    depot: Depot,
    tokens: Arc<TokenStore>,
    /// Why the configuration is incomplete, as a sentence.
    config_problem: Mutex<Option<String>>,
}

/// A file that was rendered for one host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostFile {
    /// Its bytes.
    pub content: Bytes,
    /// Its media type.
    pub content_type: String,
}

/// Why a client does not get a host's file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FileError {
    /// There is no such host, or the host has no such file.
    #[error("no host has this file")]
    Missing,
    /// Only the host may fetch the file, and the client is not the host or has no valid token.
    #[error("only the host itself may fetch this file: {0}")]
    Refused(String),
    /// The file cannot be rendered now. The reason is for the log only.
    #[error("{0}")]
    Failed(String),
}

impl Boot {
    /// Combines the parts.
    pub fn new(roster: Roster, releases: Releases, ledger: Ledger, depot: Depot) -> Self {
        let roster = RwLock::new(Arc::new(roster));
        Self {
            shared: Arc::new(Shared {
                roster,
                releases,
                ledger,
                depot,
                tokens: Arc::default(),
                config_problem: Mutex::default(),
            }),
        }
    }

    /// A server of assets only: no hosts, profiles or releases, and a ledger in memory.
    pub fn assets_only(depot: Depot) -> Self {
        Self::new(Roster::default(), Releases::empty(depot.clone()), Ledger::in_memory(), depot)
    }

    /// Switches to a new configuration, including the depot's catalog. A script is rendered from either the old or the new
    /// configuration, never from both. The ledger and issued tokens are kept. Blocks on disk IO for the operators' pins, but
    /// not while it holds the lock.
    pub fn reconfigure(&self, stock: DepotConfig, releases: Vec<Release>, roster: Roster) {
        let roster = Arc::new(roster);
        let mut current = self.shared.roster.write();
        self.shared.depot.reconfigure(stock);
        self.shared.releases.replace(releases);
        let before = std::mem::replace(&mut *current, roster);
        drop(current);
        drop(before);
        // After the lock is released: the disk is slow, and machines wait for their scripts.
        self.shared.depot.save_pins();
    }

    fn locked_roster(&self) -> RwLockReadGuard<'_, Arc<Roster>> {
        self.shared.roster.read()
    }

    /// Returns the current hosts and profiles.
    pub fn roster(&self) -> Arc<Roster> {
        Arc::clone(&self.locked_roster())
    }

    /// Renders the entry script for iPXE (`/boot.ipxe`, TFTP `autoexec.ipxe`). It sends a machine on to `/ipxe` with
    /// everything that iPXE knows about it.
    pub fn ipxe_entry(&self, request: &RequestContext) -> String {
        entry_script(request, Language::Ipxe)
    }

    /// Renders the script of a machine for iPXE. Never fails: if there is nothing to boot, the script shows the reason and
    /// retries.
    pub fn ipxe_script(&self, machine: &Machine, request: &RequestContext) -> String {
        self.script(machine, request, Language::Ipxe, None)
    }

    /// Renders the configuration of a machine for GRUB. For a request without any value, returns the entry configuration,
    /// which requests this again with everything that GRUB knows.
    pub fn grub_config(&self, machine: &Machine, request: &RequestContext) -> String {
        if *machine == Machine::default() {
            return entry_script(request, Language::Grub);
        }
        self.script(machine, request, Language::Grub, None)
    }

    /// Renders the configuration of a machine for PXELINUX. `depth`: names in it are relative to this many directories below the
    /// root; URLs without it.
    pub fn pxelinux_config(&self, machine: &Machine, request: &RequestContext, depth: Option<usize>) -> String {
        self.script(machine, request, Language::Pxelinux, depth)
    }

    fn script(&self, machine: &Machine, request: &RequestContext, language: Language, depth: Option<usize>) -> String {
        let span = Span::begin("script", Kind::Internal);
        let ledger = &self.shared.ledger;
        let issuer = self.token_issuer(request);
        let (script, kind, cards) = {
            let roster = self.locked_roster();
            let live = self.live_assets(&roster);
            let script =
                ScriptBuilder::new(&roster, machine, request, language, live, issuer).with_depth(depth).build();
            let kind = kind_of(&script, &roster);
            let cards = script.host.as_deref().and_then(|name| roster.host(name)).map(|host| host.cards());
            (script, kind, cards)
        };
        let (host, profile) = (script.host.as_deref(), script.profile.as_deref());
        span.text("bootdepot.host", host.unwrap_or_default());
        span.text("bootdepot.profile", profile.unwrap_or_default());
        if let Some(error) = &script.error {
            span.text("bootdepot.trouble", error);
        }
        if request.is_probe {
            return script.text;
        }
        let (near, named) = (script.near_miss.as_deref(), script.named.as_slice());
        let boot = ledger.record_script(SentScript {
            machine,
            peer: request.peer,
            host: cards.as_ref(),
            near_miss: script.near_miss.clone(),
            profile,
            kind,
            named,
        });
        let mac = machine.mac.map(|mac| mac.to_string());
        match &script.error {
            None => tracing::debug!(client = %request.peer, host, mac, boot, profile, "script rendered"),
            Some(
                error @ (ScriptError::UnknownMachine
                | ScriptError::NotLive(NotLive::Fetching { .. } | NotLive::Inactive(_) | NotLive::NoRelease(_))),
            ) => {
                tracing::info!(client = %request.peer, host, mac, boot, %machine, near, profile, %error, "machine waits for its script");
            }
            Some(error) => tracing::warn!(client = %request.peer, host, mac, boot, profile, %error, "script failed"),
        }
        script.text
    }

    fn token_issuer(&self, request: &RequestContext) -> TokenIssuer {
        if request.is_probe {
            TokenIssuer::Probe
        } else {
            TokenIssuer::Client(Arc::clone(&self.shared.tokens), request.peer)
        }
    }

    /// Resolves references to live assets.
    fn live_assets(&self, roster: &Roster) -> Resolve {
        let (releases, references) = (self.shared.releases.clone(), Arc::clone(&roster.references));
        Arc::new(move |reference| releases.resolve(reference).map_err(|error| references.explain(reference, error)))
    }

    /// Renders the file `file` of the host `host` for a client; `token` is the one in the URL.
    pub async fn file(
        &self,
        host: &str,
        file: &str,
        token: Option<&str>,
        request: &RequestContext,
    ) -> Result<HostFile, FileError> {
        let tokens = &self.shared.tokens;
        let (rendered, spec) = loop {
            let roster = self.roster();
            let host = roster.host(host).ok_or(FileError::Missing)?;
            let spec = host.files.get(file).ok_or(FileError::Missing)?;
            if spec.only_from_host {
                let checked = tokens.check(&host.name, file, token, request.peer);
                checked.map_err(|error| FileError::Refused(error.to_string()))?;
            }
            let secrets = host_file::reveal(&host.secrets).await.map_err(|error| {
                tracing::warn!(host = host.name, file, error, "host file failed: secret unavailable");
                FileError::Failed(error)
            })?;
            let issuer = self.token_issuer(request);
            let current = self.locked_roster();
            // Otherwise the configuration changed while the secrets were read: start again.
            if Arc::ptr_eq(&roster, &current) {
                let resolve = self.live_assets(&roster);
                let rendered = host_file::render(&roster.templates, host, file, request, resolve, issuer, &secrets);
                break (rendered, spec.clone());
            }
        };
        match rendered {
            Ok(text) => {
                if let Some(token) = token.filter(|_| spec.only_from_host && !request.is_probe) {
                    tokens.mark_used(host, token, file);
                }
                Ok(HostFile { content: text.into(), content_type: spec.content_type.clone() })
            }
            Err(RenderError::Missing) => Err(FileError::Missing),
            Err(error) => Err(FileError::Failed(error.to_string())),
        }
    }

    /// Returns the host that a machine is.
    pub fn host(&self, machine: &Machine) -> Option<Arc<Host>> {
        self.roster().find(machine)
    }

    /// The releases.
    pub fn releases(&self) -> &Releases {
        &self.shared.releases
    }

    /// Returns why the server is not ready, a sentence for each reason; empty if it is ready.
    pub fn problems(&self) -> Vec<String> {
        let own = self.shared.config_problem.lock().clone();
        [Vec::from_iter(own), self.shared.depot.readiness_problems(), self.shared.releases.problems()].concat()
    }

    /// Returns what keeps no machine from booting and needs an operator all the same, a sentence for each.
    pub fn warnings(&self) -> Vec<String> {
        [self.shared.depot.warnings(), self.shared.releases.warnings()].concat()
    }

    /// Records why the configuration is incomplete, as a sentence. The server is not ready until this is `None` again.
    pub fn set_config_problem(&self, problem: Option<String>) {
        *self.shared.config_problem.lock() = problem;
    }

    /// Sets the gauges `bootdepot_ready`, `bootdepot_boots` and `bootdepot_releases`.
    pub fn update_gauges(&self) {
        metrics::gauge!("bootdepot_ready").set(if self.problems().is_empty() { 1.0 } else { 0.0 });
        for (state, machines) in self.shared.ledger.count() {
            metrics::gauge!("bootdepot_boots", "state" => state.as_str()).set(machines);
        }
        for (state, releases) in self.shared.releases.count() {
            metrics::gauge!("bootdepot_releases", "state" => state.as_str()).set(f64::from(releases));
        }
    }

    /// Records the depot's transfers in the ledger and logs them, until `end` is cancelled; see [`Ledger::follow`].
    pub async fn follow_transfers(&self, end: &CancellationToken) {
        let host = |mac| self.host(&Machine { mac: Some(mac), ..Machine::default() }).map(|host| host.cards());
        self.shared.ledger.follow(&self.shared.depot, &host, end).await;
    }

    /// The ledger.
    pub fn ledger(&self) -> &Ledger {
        &self.shared.ledger
    }

    /// The depot.
    pub fn depot(&self) -> &Depot {
        &self.shared.depot
    }

    /// Returns the active transfers, oldest first, each with the bytes sent so far and its host.
    pub fn open_transfers(&self) -> Vec<TransferStatus> {
        let mut open = self.shared.depot.open_transfers();
        self.name_hosts(open.iter_mut());
        open
    }

    /// Returns the last finished transfers, newest first, each with its host.
    pub fn past_transfers(&self) -> Vec<TransferRecord> {
        let mut past = self.shared.depot.past_transfers();
        self.name_hosts(past.iter_mut().map(|past| &mut past.transfer));
        past
    }

    /// Sets the host of each transfer, by the address of its client.
    pub fn name_hosts<'t>(&self, transfers: impl Iterator<Item = &'t mut TransferStatus>) {
        let transfers: Vec<_> = transfers.collect();
        let hosts = self.shared.ledger.hosts_at(transfers.iter().map(|transfer| transfer.peer.ip()));
        for transfer in transfers {
            transfer.host = hosts.get(&transfer.peer.ip().to_canonical()).cloned();
        }
    }

    /// Returns every machine that was seen, the most recent first, and then every host that was not.
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
            identity: Identity::of_host(&host.keys),
            ..MachineStatus::default()
        }));
        machines
    }

    /// Returns the machine that fits a search best, with its boots: see [`Ledger::machine`]. Finds hosts that were not seen
    /// by the values in their `match`, too.
    pub fn machine(&self, query: &str) -> Option<MachineStatus> {
        let sent = self.shared.depot.sent_so_far();
        let ledger = &self.shared.ledger;
        let fits = |machine: &MachineStatus| !self.is_another(query, machine);
        let mut found = ledger.machine(query, &sent).filter(fits).or_else(|| {
            let known = self.find_in_roster(query)?;
            known.mac.and_then(|mac| ledger.machine(&mac.to_string(), &sent)).or(Some(known))
        })?;
        self.complete(&mut found);
        Some(found)
    }

    /// Forgets the machine that [`Boot::machine`] finds. Returns how many machines that were: see [`Ledger::forget`].
    pub fn forget(&self, query: &str) -> usize {
        let ledger = &self.shared.ledger;
        let is_another = ledger.machine(query, &HashMap::new()).is_some_and(|machine| self.is_another(query, &machine));
        match if is_another { 0 } else { ledger.forget(query) } {
            0 => {
                self.find_in_roster(query).and_then(|known| known.mac).map_or(0, |mac| ledger.forget(&mac.to_string()))
            }
            machines => machines,
        }
    }

    /// Whether the search is the name of a host, and a machine that fits it otherwise is not that host: any client may send the name
    /// as its serial number.
    fn is_another(&self, query: &str, machine: &MachineStatus) -> bool {
        machine.name.as_deref() != Some(query) && self.roster().host(query).is_some()
    }

    /// Returns the machine that fits a search best, by what the roster knows of it: the ledger does not know the host of a
    /// machine that has not booted since its host was added.
    fn find_in_roster(&self, query: &str) -> Option<MachineStatus> {
        let query = MachineQuery::new(query);
        let rank = |machine: &MachineStatus| query.rank(machine.name.as_deref(), &machine.identity);
        self.machines()
            .into_iter()
            .filter_map(|machine| Some((rank(&machine)?, machine)))
            .min_by_key(|(rank, _)| *rank)
            .map(|(_, machine)| machine)
    }

    /// Adds what the ledger does not know: the machine's name, and the sizes of assets in active transfers.
    fn complete(&self, machine: &mut MachineStatus) {
        self.set_name(machine);
        let depot = &self.shared.depot;
        let steps = machine.boots.iter_mut().flat_map(|boot| &mut boot.steps).chain(&mut machine.last_step);
        for step in steps.filter(|step| step.open > 0 && step.size.is_none()) {
            step.size = depot.find(&step.name).and_then(|asset| depot.progress(&asset).size);
        }
    }

    /// Sets the name of a machine without a script from the host with its MAC.
    fn set_name(&self, machine: &mut MachineStatus) {
        if machine.name.is_none()
            && machine.mac.is_some()
            && let Some(host) = self.host(&Machine { mac: machine.mac, ..Machine::default() })
        {
            machine.name = Some(host.name.clone());
        }
    }
}

/// Returns the kind of a script.
fn kind_of(script: &Script, roster: &Roster) -> ScriptKind {
    match &script.error {
        Some(ScriptError::UnknownMachine) => return ScriptKind::Unknown,
        Some(ScriptError::NotLive(
            error @ (NotLive::Fetching { .. } | NotLive::Inactive(_) | NotLive::NoRelease(_)),
        )) => return ScriptKind::Waits(error.to_string()),
        Some(error) => return ScriptKind::Failed(error.to_string()),
        None => {}
    }
    let host = script.host.as_deref().and_then(|name| roster.host(name));
    match host.map(|host| &host.profile).or(roster.default_profile()).map(|profile| &profile.method) {
        Some(BootMethod::Local) => ScriptKind::Local,
        Some(BootMethod::Iso(_)) => ScriptKind::Image,
        Some(BootMethod::ChainUrl(_) | BootMethod::Iscsi(_)) => ScriptKind::Elsewhere,
        _ if ScriptKind::has_choice(&script.text) => ScriptKind::Menu,
        Some(BootMethod::Kernel { .. } | BootMethod::Chain(_) | BootMethod::Template(_)) | None => ScriptKind::Files,
    }
}

#[cfg(test)]
impl Boot {
    /// How many tokens are stored.
    pub(super) fn count_tokens(&self) -> usize {
        self.shared.tokens.count()
    }

    /// Whether a token was used.
    pub(super) fn is_token_used(&self, token: &str) -> bool {
        self.shared.tokens.is_used(token)
    }
}
