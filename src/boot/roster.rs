//! The roster: hosts, profiles and their templates, and which machine is which host. Immutable; checked by `check`.

mod error;
mod key;
mod near_miss;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use parking_lot::Mutex;

pub use error::{RosterError, RosterProblem, Subject};
pub(super) use key::MatchKey;

use super::host::{BootMethod, Host, Profile};
use super::machine::Machine;
use super::references::References;
use super::template::Templates;
use crate::asset::AssetName;
use crate::secret::Secret;

/// All hosts and profiles.
#[derive(Debug, Default)]
pub struct Roster {
    pub(super) hosts: Vec<Arc<Host>>,
    pub(super) by_name: HashMap<String, usize>,
    pub(super) by_key: HashMap<MatchKey, usize>,
    pub(super) profiles: Vec<Arc<Profile>>,
    pub(super) default_profile: Option<Arc<Profile>>,
    /// The operator's templates of scripts, arguments and files.
    pub(super) templates: Templates,
    pub(super) references: Arc<References>,
    /// Hosts for which an ambiguous match was logged. Each is logged once, because a client can make up a request for any
    /// pair of hosts.
    warned: Mutex<HashSet<usize>>,
}

impl Roster {
    /// An empty roster whose references resolve in `references`.
    pub(super) fn with_references(references: References) -> Self {
        Self { references: Arc::new(references), ..Self::default() }
    }

    /// Returns the host that a machine is. If its keys match several hosts, the MAC decides, then the UUID, the serial
    /// number, the asset tag.
    pub fn find(&self, machine: &Machine) -> Option<Arc<Host>> {
        let mut matches = MatchKey::of_machine(machine).filter_map(|key| self.by_key.get(&key).copied());
        let first = matches.next()?;
        for other in matches.filter(|other| *other != first) {
            if self.warned.lock().insert(first) {
                let (host, other) = (&self.hosts[first].name, &self.hosts[other].name);
                tracing::warn!(%host, %other, "machine matches two hosts; using the first, please correct their match");
            }
        }
        Some(Arc::clone(&self.hosts[first]))
    }

    /// Returns the host of this name.
    pub fn host(&self, name: &str) -> Option<&Arc<Host>> {
        self.by_name.get(name).map(|index| &self.hosts[*index])
    }

    /// All hosts, in the order of the configuration.
    pub fn hosts(&self) -> &[Arc<Host>] {
        &self.hosts
    }

    /// All profiles, in the order of the configuration.
    pub fn profiles(&self) -> impl Iterator<Item = &Arc<Profile>> {
        self.profiles.iter()
    }

    /// The profile for machines that match no host.
    pub fn default_profile(&self) -> Option<&Arc<Profile>> {
        self.default_profile.as_ref()
    }

    /// Returns the templates that use secrets for files that any client may fetch, each with one host and the name of one
    /// such file.
    pub fn exposed_secrets(&self) -> BTreeMap<&str, (&str, &str)> {
        let files = self.hosts.iter().flat_map(|host| host.files.iter().map(move |(name, file)| (host, name, file)));
        let mut exposed = BTreeMap::new();
        for (host, name, file) in files.filter(|(_, _, file)| !file.only_from_host) {
            let template = file.template.as_str();
            if !exposed.contains_key(template) && self.templates.uses(template, "secrets") {
                exposed.insert(template, (host.name.as_str(), name.as_str()));
            }
        }
        exposed
    }

    /// Returns a sentence for each comment in a template that hides what looks like commands, with both its ends.
    pub fn hiding_comments(&self) -> impl Iterator<Item = String> {
        self.templates.hiding_comments().iter().map(|(template, comment)| {
            format!(
                "{template}:{}: \"{{#\" begins a comment that ends at {template}:{} and hides what looks like a command ({:?}); \
                 if it is text, write {{% raw %}} before and {{% endraw %}} after it",
                comment.first, comment.last, comment.command
            )
        })
    }

    /// Returns the ISO image of each profile that boots one and whose image is in the catalog, with the profile's name.
    pub fn isos(&self) -> Vec<(&str, AssetName)> {
        let iso = |profile: &'_ Arc<Profile>| match &profile.method {
            BootMethod::Iso(reference) => self.references.preview(reference).ok(),
            _ => None,
        };
        self.profiles.iter().filter_map(|profile| Some((profile.name.as_str(), iso(profile)?))).collect()
    }

    /// Returns every secret of every host, with the host's name, in the order of the configuration.
    pub fn secrets(&self) -> impl Iterator<Item = (&str, &Secret)> {
        self.hosts.iter().flat_map(|host| host.secrets.values().map(|secret| (host.name.as_str(), secret)))
    }
}

#[cfg(test)]
impl Roster {
    /// How many hosts have been logged as ambiguous.
    fn warned(&self) -> usize {
        self.warned.lock().len()
    }
}
