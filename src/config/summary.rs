//! Digest of a configuration that is sufficient to report what a reload changes.

use std::collections::BTreeMap;

use super::layer::Layers;
use super::settings::Config;
use crate::asset::Digest;

/// Lists of tables whose elements have names.
const LISTS: [&str; 5] = ["asset", "release", "profile", "host", "template"];
/// Tables that apply only after a restart.
const FIXED: [&str; 5] = ["cache.", "http.", "tftp.", "admin.", "dhcp."];

/// Digest of a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// For each list, the elements by name, each as a digest of its values.
    lists: BTreeMap<&'static str, BTreeMap<String, Digest>>,
    /// Settings that apply only after a restart, each key with its value.
    fixed: BTreeMap<String, String>,
    /// Digest of all values and all templates.
    whole: Digest,
}

/// Changes of one list.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Changes {
    /// Names that are new.
    pub added: Vec<String>,
    /// Names that were removed.
    pub removed: Vec<String>,
    /// Names whose values changed.
    pub changed: Vec<String>,
}

impl Summary {
    /// The digest of this configuration.
    pub fn of(config: &Config) -> Self {
        let lists = LISTS.map(|list| (list, elements(&config.layers, list)));
        let settings = config.show().into_iter().flat_map(|section| section.settings);
        let fixed = settings.filter(|setting| FIXED.iter().any(|table| setting.path.starts_with(table)));
        let fixed = fixed.map(|setting| (setting.path, setting.value.to_string())).collect();
        let values = serde_json::to_vec(config.layers.values()).unwrap_or_default();
        let whole = Digest::of(&[values.as_slice(), config.templates.to_string().as_bytes()].concat());
        Self { lists: lists.into(), fixed, whole }
    }

    /// Whether `after` has the same values and templates.
    pub fn is_same(&self, after: &Self) -> bool {
        self.whole == after.whole
    }

    /// Changes of the list `list` in `after`.
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

    /// Keys whose value in `after` applies only after a restart.
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
