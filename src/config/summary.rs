//! What settings come to, in short: enough to say what is new in those that are loaded after them.

use std::collections::BTreeMap;

use super::layer::Layers;
use super::settings::Config;
use crate::asset::Digest;

/// The lists of tables whose elements have names.
const LISTS: [&str; 5] = ["asset", "release", "profile", "host", "template"];
/// The tables of which the server takes no other values while it runs.
const FIXED: [&str; 5] = ["cache.", "http.", "tftp.", "admin.", "dhcp."];

/// Settings in short.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// Of each list, the elements by name, each as a digest of all that is written of it.
    lists: BTreeMap<&'static str, BTreeMap<String, Digest>>,
    /// What holds until the next start, each key with its value.
    fixed: BTreeMap<String, String>,
    /// All values, and all templates.
    whole: Digest,
}

/// What is new in one list.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Changes {
    /// Names that were not there.
    pub added: Vec<String>,
    /// Names that are there no more.
    pub removed: Vec<String>,
    /// Names of which something else is written.
    pub changed: Vec<String>,
}

impl Summary {
    /// These settings in short.
    pub fn of(config: &Config) -> Self {
        let lists = LISTS.map(|list| (list, elements(&config.layers, list)));
        let settings = config.show().into_iter().flat_map(|section| section.settings);
        let fixed = settings.filter(|setting| FIXED.iter().any(|table| setting.path.starts_with(table)));
        let fixed = fixed.map(|setting| (setting.path, setting.value.to_string())).collect();
        let values = serde_json::to_vec(config.layers.values()).unwrap_or_default();
        let whole = Digest::of(&[values.as_slice(), config.templates.to_string().as_bytes()].concat());
        Self { lists: lists.into(), fixed, whole }
    }

    /// Whether `after` says the same.
    pub fn is_same(&self, after: &Self) -> bool {
        self.whole == after.whole
    }

    /// What is new in the list `list` of `after`.
    pub fn changes(&self, after: &Self, list: &str) -> Changes {
        let none = BTreeMap::new();
        let (before, after) = (self.lists.get(list).unwrap_or(&none), after.lists.get(list).unwrap_or(&none));
        let only = |these: &BTreeMap<String, Digest>, those: &BTreeMap<String, Digest>| {
            these.keys().filter(|name| !those.contains_key(*name)).cloned().collect()
        };
        let differs = |(name, digest): &(&String, &Digest)| before.get(*name).is_some_and(|before| before != *digest);
        Changes {
            added: only(after, before),
            removed: only(before, after),
            changed: after.iter().filter(differs).map(|(name, _)| name.clone()).collect(),
        }
    }

    /// The keys of `after` that the server takes only when it starts again.
    pub fn waiting(&self, after: &Self) -> Vec<String> {
        let mut keys: Vec<String> = after
            .fixed
            .iter()
            .filter(|(key, value)| self.fixed.get(*key) != Some(value))
            .map(|(key, _)| key.clone())
            .collect();
        keys.extend(self.fixed.keys().filter(|key| !after.fixed.contains_key(*key)).cloned());
        keys.sort();
        keys
    }
}

fn elements(layers: &Layers, list: &str) -> BTreeMap<String, Digest> {
    let named = layers.list(list).iter().filter_map(|element| {
        let name = element.find_ref("name")?.as_str()?.to_owned();
        Some((name, Digest::of(&serde_json::to_vec(element).unwrap_or_default())))
    });
    named.collect()
}
