//! Rules of `[dhcp]`: proxyDHCP requires an interface, and the named network boot programs must exist.

use figment::value::Value;

use super::super::check::nearest;
use super::super::error::{ConfigError, Problem};
use super::super::key::KeyPath;
use super::super::layer::Layers;
use super::element::{Element, elements};
use crate::dhcp::Platform;

/// Violations of the rules of `[dhcp]`.
pub(super) fn check(layers: &Layers, assets: &[Element<'_>]) -> Vec<ConfigError> {
    let tftp = layers.values().find_ref("tftp.files").and_then(Value::as_dict);
    let names = assets.iter().filter_map(|asset| asset.text("name"));
    let served: Vec<_> = tftp.into_iter().flatten().map(|(file, _)| file.as_str()).chain(names).collect();
    let mut errors = Vec::new();
    errors.extend(interface(layers));
    errors.extend(files(layers, &served));
    errors.extend(hosts(layers, &served));
    errors
}

fn interface(layers: &Layers) -> Option<ConfigError> {
    let mode = layers.values().find_ref("dhcp.mode")?;
    if mode.as_str() != Some("proxy") || layers.values().find_ref("dhcp.interface").is_some() {
        return None;
    }
    let key = KeyPath::of(["dhcp", "mode"]);
    let problem = Problem::Alone { other: "interface".to_owned() };
    Some(ConfigError { place: layers.place(mode.tag(), &key), key, of: None, problem })
}

fn files(layers: &Layers, served: &[&str]) -> Vec<ConfigError> {
    let set = layers.values().find_ref("dhcp.nbp").and_then(Value::as_dict);
    let mut errors = Vec::new();
    for (platform, file) in set.into_iter().flatten() {
        // A default is optional: its file may be missing.
        let by_default = |name: &str| Platform::ALL.iter().any(|p| p.name() == platform && p.default_file() == name);
        let Some(problem) = file.as_str().filter(|name| !by_default(name)).and_then(|name| missing(name, served))
        else {
            continue;
        };
        let key = KeyPath::of(["dhcp", "nbp", platform]);
        errors.push(ConfigError { place: layers.place(file.tag(), &key), key, of: None, problem });
    }
    errors
}

fn hosts(layers: &Layers, served: &[&str]) -> Vec<ConfigError> {
    let hosts = elements(layers, "host");
    let by_default = |name: &str| Platform::ALL.iter().any(|platform| platform.default_file() == name);
    let file = |host: &Element<'_>| missing(host.text("nbp").filter(|name| !by_default(name))?, served);
    hosts.iter().filter_map(|host| Some(host.error("nbp", file(host)?))).collect()
}

/// The problem of a network boot program with this name. The schema check reports empty names.
fn missing(name: &str, served: &[&str]) -> Option<Problem> {
    if name.is_empty() || served.contains(&name) {
        return None;
    }
    let nearest = nearest(name, served.iter().copied()).map(str::to_owned);
    Some(Problem::NoFile { name: name.to_owned(), nearest })
}
