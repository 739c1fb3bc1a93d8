//! Rules of `[dhcp]`: proxyDHCP needs an interface, and boot files that are named must be there.

use figment::value::Value;

use super::super::check::nearest;
use super::super::error::{ConfigError, Problem};
use super::super::key::KeyPath;
use super::super::layer::Layers;
use super::Element;
use crate::dhcp::Platform;

/// What is wrong with `[dhcp]`.
pub(super) fn check(layers: &Layers, assets: &[Element<'_>]) -> Vec<ConfigError> {
    let mut errors = Vec::new();
    errors.extend(interface(layers));
    errors.extend(files(layers, assets));
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

fn files(layers: &Layers, assets: &[Element<'_>]) -> Vec<ConfigError> {
    let set = layers.values().find_ref("dhcp.nbp").and_then(Value::as_dict);
    let tftp = layers.values().find_ref("tftp.files").and_then(Value::as_dict);
    let served = || {
        let names = assets.iter().filter_map(|asset| asset.text("name"));
        tftp.into_iter().flatten().map(|(file, _)| file.as_str()).chain(names)
    };
    let mut errors = Vec::new();
    for (platform, file) in set.into_iter().flatten() {
        // Another type was told already. What would hold anyway asks for nothing: the file may be there or not.
        let by_default = |name: &str| Platform::ALL.iter().any(|p| p.name() == platform && p.default_file() == name);
        let Some(name) = file.as_str().filter(|name| !name.is_empty() && !by_default(name)) else { continue };
        if !served().any(|served| served == name) {
            let key = KeyPath::of(["dhcp", "nbp", platform]);
            let problem =
                Problem::NoFile { name: name.to_owned(), nearest: nearest(name, served()).map(str::to_owned) };
            errors.push(ConfigError { place: layers.place(file.tag(), &key), key, of: None, problem });
        }
    }
    errors
}
