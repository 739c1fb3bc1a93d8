//! Rules between values, which the schema cannot express. Each rule is checked even if other values are invalid.

mod bucket;
mod collection;
mod dhcp;
mod element;
mod mirror;
mod release;

use std::collections::HashMap;

use figment::value::Value;

use self::element::{Element, elements, unique, unique_by};
use super::check::{name_of, nearest};
use super::error::{ConfigError, Problem, Size64};
use super::key::KeyPath;
use super::layer::{Layer, Layers};
use super::place::Place;
use super::raw;
use super::size::Size;
use crate::asset::SourcePrefix;

/// A window of more bytes would let a few spoofed requests fill the sockets' memory.
const LARGEST_WINDOW: u64 = 4 << 20;

/// All violations of the rules by the effective values.
pub(super) fn check(layers: &Layers) -> Vec<ConfigError> {
    let mut errors = set_twice(layers.layers());
    let (assets, origins) = (elements(layers, "asset"), elements(layers, "origin"));
    errors.extend(unique(&assets, "name"));
    errors.extend(unique_by(&origins, "match", |text| match text.parse::<SourcePrefix>() {
        Ok(prefix) => prefix.canonical(),
        Err(_) => text.to_owned(),
    }));
    errors.extend(unique(&elements(layers, "template"), "name"));
    errors.extend(bucket::check(&elements(layers, "bucket")));
    errors.extend(sizes(&assets));
    errors.extend(origins.iter().flat_map(headers));
    errors.extend(tftp_files(layers, &assets));
    errors.extend(release::check(&elements(layers, "release"), &names(&assets)));
    errors.extend(collection::check(&elements(layers, "collection")));
    errors.extend(mirror::check(&elements(layers, "mirror")));
    errors.extend(window(layers));
    errors.extend(dhcp::check(layers, &assets));
    errors
}

/// Keys, except lists of tables, that two files set.
fn set_twice(layers: &[Layer]) -> Vec<ConfigError> {
    let mut errors = Vec::new();
    let mut seen: HashMap<KeyPath, Place> = HashMap::new();
    for layer in layers.iter().filter(|layer| matches!(layer.whole, Place::File { .. } | Place::Url { .. })) {
        for path in keys_set(&layer.values, &KeyPath::root()) {
            let place = layer.place(&path);
            match seen.get(&path) {
                Some(other) => {
                    let problem = Problem::Twice { other: other.clone() };
                    errors.push(ConfigError { place, key: path, of: None, problem });
                }
                None => {
                    seen.insert(path, place);
                }
            }
        }
    }
    errors
}

fn keys_set(table: &figment::value::Dict, path: &KeyPath) -> Vec<KeyPath> {
    let mut keys = Vec::new();
    for (key, value) in table {
        let path = path.key(key);
        match value {
            Value::Dict(_, table) => keys.extend(keys_set(table, &path)),
            Value::Array(_, elements) if elements.iter().any(|element| element.as_dict().is_some()) => {}
            _ => keys.push(path),
        }
    }
    keys
}

fn sizes(assets: &[Element<'_>]) -> Vec<ConfigError> {
    let mut seen: HashMap<String, (u64, &Element<'_>)> = HashMap::new();
    let mut errors = Vec::new();
    for asset in assets {
        let Some((digest, size)) = asset.text("sha256").zip(asset.value.find_ref("size").and_then(bytes)) else {
            continue;
        };
        let (first_size, first) = *seen.entry(digest.to_ascii_lowercase()).or_insert((size, asset));
        if size != first_size {
            let (found, size) = (Size64(size), Size64(first_size));
            errors.push(asset.error("size", Problem::Sizes { found, size, other: first.place("size") }));
        }
    }
    errors
}

fn headers(origin: &Element<'_>) -> Vec<ConfigError> {
    let headers = origin.value.find_ref("headers").and_then(Value::as_dict);
    let names = headers.into_iter().flat_map(|headers| headers.keys());
    let (wrong, good): (Vec<_>, Vec<_>) =
        names.partition(|name| http::HeaderName::from_bytes(name.as_bytes()).is_err());
    let prefix = origin.text("match").and_then(|text| text.parse::<SourcePrefix>().ok());
    let to_any_server = prefix.filter(|prefix| prefix.covers_any_server() && !good.is_empty()).map(|prefix| {
        let problem = Problem::Wrong {
            found: format!("{:?}", prefix.as_str()),
            expected: format!("the host that its header fields are for, such as \"{}mirror.lab/\"", prefix.as_str()),
            reason: "the header fields may be secret".to_owned(),
        };
        origin.error("match", problem)
    });
    wrong
        .into_iter()
        .map(|name| {
            let path = origin.path.key("headers").key(name);
            let problem = Problem::Wrong {
                found: format!("{name:?}"),
                expected: "the name of a header field such as \"Authorization\"".to_owned(),
                reason: String::new(),
            };
            ConfigError { place: origin.layer.place(&path), key: path, of: name_of(origin.value), problem }
        })
        .chain(to_any_server)
        .collect()
}

fn bytes(size: &Value) -> Option<u64> {
    match size {
        Value::String(_, text) => text.parse().ok().map(|Size(bytes)| bytes),
        Value::Num(..) => number(size),
        _ => None,
    }
}

fn number(value: &Value) -> Option<u64> {
    let number = value.to_num()?;
    number.to_u128().and_then(|n| n.try_into().ok()).or_else(|| number.to_i128().and_then(|n| n.try_into().ok()))
}

fn names<'a>(elements: &'a [Element<'_>]) -> Vec<&'a str> {
    elements.iter().filter_map(|element| element.text("name")).collect()
}

fn tftp_files(layers: &Layers, assets: &[Element<'_>]) -> Vec<ConfigError> {
    let Some(files) = layers.values().find_ref("tftp.files").and_then(Value::as_dict) else { return Vec::new() };
    let names = names(assets);
    let mut errors = Vec::new();
    for (file, target) in files {
        // The schema check has reported invalid names.
        let Some(name) = target.as_str().filter(|name| crate::asset::AssetName::parse(name).is_ok()) else { continue };
        if !names.contains(&name) {
            let nearest = nearest(name, names.iter().copied()).map(str::to_owned);
            let key = KeyPath::of(["tftp", "files", file]);
            let problem = Problem::NoAsset { name: name.to_owned(), nearest };
            errors.push(ConfigError { place: layers.place(target.tag(), &key), key, of: None, problem });
        }
    }
    errors
}

fn window(layers: &Layers) -> Option<ConfigError> {
    let defaults = raw::Tftp::default();
    let set = |key: &str| layers.values().find_ref("tftp")?.as_dict()?.get(key);
    let or = |key, default: u16| set(key).map_or(Some(u64::from(default)), number);
    let blksize = or("max_blksize", defaults.max_blksize)?;
    let windowsize = or("max_windowsize", defaults.max_windowsize)?;
    // Each value by itself was checked against its bounds.
    let each_fits = blksize <= 65_464 && windowsize <= 65_535;
    if !each_fits || blksize * windowsize <= LARGEST_WINDOW {
        return None;
    }
    let (name, value) = ["max_windowsize", "max_blksize"].into_iter().find_map(|name| Some((name, set(name)?)))?;
    let key = KeyPath::of(["tftp", name]);
    let place = layers.place(value.tag(), &key);
    Some(ConfigError { place, key, of: None, problem: Problem::Window { blksize, windowsize } })
}
