//! The roster: hosts and profiles as the operator wrote them, checked as a whole. Immutable.

mod check;
mod error;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

use minijinja::Value;

pub use error::{RosterError, RosterProblem, Subject};

use super::host::{Host, Profile};
use super::links::Mint;
use super::machine::folded;
use super::references::References;
use super::script::{self, Language, Making, Script};
use super::settings::{Keys, RosterSettings};
use super::template::Templates;
use super::{Mac, Machine, Uuid, Visit, file};
use crate::catalog::{Catalog, Release};
use crate::secret::Secret;

/// All hosts and profiles.
#[derive(Debug)]
pub struct Roster {
    hosts: Vec<Arc<Host>>,
    by_name: HashMap<String, usize>,
    by_key: HashMap<Key, usize>,
    profiles: Vec<Arc<Profile>>,
    default_profile: Option<Arc<Profile>>,
    templates: Templates,
    references: Arc<References>,
    /// Hosts that fitted a machine beside another one, of which the log was told: once each, for whoever makes up requests
    /// can pair any host with any other.
    told: Mutex<HashSet<usize>>,
}

/// One thing that identifies a host.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Key {
    Mac(Mac),
    Uuid(Uuid),
    Serial(String),
    AssetTag(String),
}

impl Key {
    /// The keys of a host, each with its name in `match`.
    fn of_host(keys: &Keys) -> impl Iterator<Item = (Self, &'static str)> {
        let macs = keys.macs.iter().map(|mac| (Self::Mac(*mac), "mac"));
        let uuid = keys.uuid.map(|uuid| (Self::Uuid(uuid), "uuid"));
        let serial = keys.serial.as_deref().map(|serial| (Self::Serial(folded(serial)), "serial"));
        let asset_tag = keys.asset_tag.as_deref().map(|tag| (Self::AssetTag(folded(tag)), "asset_tag"));
        macs.chain(uuid).chain(serial).chain(asset_tag)
    }

    /// The keys of a machine, what tells most surely which it is first: a board that was replaced brings its serial number
    /// along, but the card that boots is the one that the switch and the operator know.
    fn of_machine(machine: &Machine) -> impl Iterator<Item = Self> {
        let mac = machine.mac.map(Self::Mac);
        let uuid = machine.uuid.map(Self::Uuid);
        let serial = machine.serial.as_deref().map(|serial| Self::Serial(folded(serial)));
        let asset_tag = machine.asset_tag.as_deref().map(|tag| Self::AssetTag(folded(tag)));
        [mac, uuid, serial, asset_tag].into_iter().flatten()
    }
}

impl Default for Roster {
    /// Nobody.
    fn default() -> Self {
        let mut templates = Templates::default();
        // They compile: every test of a script takes them.
        if let Err(error) = script::add_ours(&mut templates) {
            tracing::error!(template = error.template, %error, "a built-in script fails; please report it");
        }
        Self {
            hosts: Vec::new(),
            by_name: HashMap::new(),
            by_key: HashMap::new(),
            profiles: Vec::new(),
            default_profile: None,
            templates,
            references: Arc::default(),
            told: Mutex::default(),
        }
    }
}

impl Roster {
    /// The roster that these settings make, or everything that is wrong with them.
    ///
    /// Every script and every file of every host is made once, so that a template that fails does so here and not when
    /// the machine boots.
    pub fn new(settings: RosterSettings, catalog: &Catalog, releases: &[Release]) -> Result<Self, Vec<RosterError>> {
        check::build(settings, References::new(catalog, releases))
    }

    /// The host that this machine is: of several that its keys fit, the one by MAC, then UUID, serial number, asset tag.
    pub fn find(&self, machine: &Machine) -> Option<Arc<Host>> {
        let mut fitting = Key::of_machine(machine).filter_map(|key| self.by_key.get(&key).copied());
        let first = fitting.next()?;
        for other in fitting.filter(|other| *other != first) {
            if self.told.lock().unwrap_or_else(PoisonError::into_inner).insert(first) {
                let (host, other) = (&self.hosts[first].name, &self.hosts[other].name);
                tracing::warn!(%host, %other, "a machine fits two hosts and counts as the first; correct their match");
            }
        }
        Some(Arc::clone(&self.hosts[first]))
    }

    /// The host of this name.
    pub fn host(&self, name: &str) -> Option<&Arc<Host>> {
        self.by_name.get(name).map(|index| &self.hosts[*index])
    }

    /// All hosts, in the order of the settings.
    pub fn hosts(&self) -> &[Arc<Host>] {
        &self.hosts
    }

    /// All profiles, in the order of the settings.
    pub fn profiles(&self) -> impl Iterator<Item = &Arc<Profile>> {
        self.profiles.iter()
    }

    /// The profile of machines that are no host.
    pub fn default_profile(&self) -> Option<&Arc<Profile>> {
        self.default_profile.as_ref()
    }

    /// The script that `machine` would get if all that is active were live. Nothing is noted, and tokens are samples.
    pub fn preview(&self, machine: &Machine, visit: &Visit, language: Language) -> Script {
        let references = Arc::clone(&self.references);
        let resolve = Arc::new(move |reference: &str| references.preview(reference));
        Making::new(self, machine, visit, language, resolve, Mint::Sample).make()
    }

    /// The file `file` of `host` as [`Self::preview`] makes scripts, with a stand-in for each secret; or why it fails.
    pub fn preview_file(&self, host: &Arc<Host>, file: &str, visit: &Visit) -> Result<String, String> {
        let references = Arc::clone(&self.references);
        let resolve = Arc::new(move |reference: &str| references.preview(reference));
        let secrets = host.secrets.keys().map(|name| (name.clone(), "(secret)".to_owned())).collect();
        file::render(self, host, file, visit, resolve, Mint::Sample, &secrets).map_err(|error| error.to_string())
    }

    /// Templates with secrets whose files are given to whoever asks, each with a host and its file that is made from it.
    pub fn open_secrets(&self) -> BTreeMap<&str, (&str, &str)> {
        let files = self.hosts.iter().flat_map(|host| host.files.iter().map(move |(name, file)| (host, name, file)));
        let mut open = BTreeMap::new();
        for (host, name, file) in files.filter(|(_, _, file)| !file.only_from_host) {
            let template = file.template.as_str();
            if !open.contains_key(template) && self.templates.mentions(template, "secrets") {
                open.insert(template, (host.name.as_str(), name.as_str()));
            }
        }
        open
    }

    /// Every secret that the files of hosts see, each with the host's name, in the order of the settings.
    pub fn secrets(&self) -> impl Iterator<Item = (&str, &Secret)> {
        self.hosts.iter().flat_map(|host| host.secrets.values().map(|secret| (host.name.as_str(), secret)))
    }

    /// The script that sends a machine on to its own.
    pub fn entry(&self, visit: &Visit, language: Language) -> String {
        script::entry(&self.templates, visit, language)
    }

    /// The templates of all scripts and files.
    pub(super) fn templates(&self) -> &Templates {
        &self.templates
    }
}

/// What templates see as `host` of a host: what the settings say of it, and nothing where they say nothing.
fn about(name: &str, keys: &Keys, nbp: Option<&str>, vars: Value) -> Value {
    let text = |name: &'static str, text: Option<String>| text.map(|text| (name, Value::from(text)));
    let known = [
        text("name", Some(name.to_owned())),
        text("mac", keys.macs.first().map(Mac::to_string)),
        text("uuid", keys.uuid.map(|uuid| uuid.to_string())),
        text("serial", keys.serial.clone()),
        text("asset_tag", keys.asset_tag.clone()),
        text("nbp", nbp.map(str::to_owned)),
        Some(("macs", keys.macs.iter().map(|mac| Value::from(mac.to_string())).collect::<Value>())),
        Some(("vars", vars)),
    ];
    Value::from_pairs(known.into_iter().flatten())
}

/// Whether `name` may be a host's name: labels of letters, digits and inner hyphens with dots between them (RFC 1123 2.1).
pub(super) fn is_host_name(name: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    name.len() <= 253 && name.split('.').all(label)
}
