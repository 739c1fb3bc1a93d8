//! Rules of `[[release]]`.

use std::collections::HashMap;

use figment::value::Value;

use super::element::{Element, unique};
use crate::asset::AssetName;
use crate::config::check::{name_of, nearest};
use crate::config::error::{ConfigError, Problem};

/// Violations of the rules by these releases; `assets` are the names of all assets.
pub(super) fn check(releases: &[Element<'_>], assets: &[&str]) -> Vec<ConfigError> {
    let mut errors = unique(releases, "name");
    errors.extend(releases.iter().flat_map(|release| assets_of(release, assets)));
    errors.extend(active(releases));
    errors
}

/// Problems of one release's asset list.
fn assets_of(release: &Element<'_>, assets: &[&str]) -> Vec<ConfigError> {
    let listed = release.value.find_ref("assets").and_then(Value::as_array).unwrap_or_default();
    let mut errors = Vec::new();
    let mut seen: Vec<&str> = Vec::new();
    for (index, name) in listed.iter().enumerate() {
        // The schema check has reported invalid names.
        let Some(name) = name.as_str().filter(|name| AssetName::parse(name).is_ok()) else { continue };
        let problem = if seen.contains(&name) {
            Problem::Repeated { name: name.to_owned() }
        } else if assets.contains(&name) {
            seen.push(name);
            continue;
        } else {
            let nearest = nearest(name, assets.iter().copied()).map(str::to_owned);
            Problem::NoAsset { name: name.to_owned(), nearest }
        };
        let key = release.path.key("assets").index(index);
        errors.push(ConfigError { place: release.layer.place(&key), key, of: name_of(release.value), problem });
    }
    errors
}

/// Channels with two active releases.
fn active(releases: &[Element<'_>]) -> Vec<ConfigError> {
    let mut first: HashMap<&str, &Element<'_>> = HashMap::new();
    let mut errors = Vec::new();
    for release in releases {
        let is_active = matches!(release.value.find_ref("active"), Some(Value::Bool(_, true)));
        let Some(channel) = release.text("channel").filter(|_| is_active) else { continue };
        match first.get(channel) {
            Some(other) => {
                let problem = Problem::BothActive {
                    channel: channel.to_owned(),
                    release: name_of(other.value).unwrap_or_default(),
                    other: other.place("active"),
                };
                errors.push(release.error("active", problem));
            }
            None => drop(first.insert(channel, release)),
        }
    }
    errors
}
