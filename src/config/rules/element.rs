//! Elements of the configuration's lists of tables, as the rules see them.

use std::collections::HashMap;

use figment::value::Value;

use crate::config::check::name_of;
use crate::config::error::{ConfigError, Problem};
use crate::config::key::KeyPath;
use crate::config::layer::{self, Layer, Layers};
use crate::config::place::Place;

/// An element of a list of tables.
pub(super) struct Element<'v> {
    pub(super) layer: &'v Layer,
    pub(super) path: KeyPath,
    pub(super) value: &'v Value,
}

impl Element<'_> {
    pub(super) fn text(&self, key: &str) -> Option<&str> {
        self.value.as_dict()?.get(key)?.as_str()
    }

    pub(super) fn place(&self, key: &str) -> Place {
        self.layer.place(&self.path.key(key))
    }

    pub(super) fn error(&self, key: &str, problem: Problem) -> ConfigError {
        ConfigError { place: self.place(key), key: self.path.key(key), of: name_of(self.value), problem }
    }
}

pub(super) fn elements<'l>(layers: &'l Layers, list: &str) -> Vec<Element<'l>> {
    let values = layers.list(list);
    layer::elements(&KeyPath::of([list]), values)
        .filter_map(|(path, value)| Some(Element { layer: layers.layer(value.tag())?, path, value }))
        .collect()
}

pub(super) fn unique(elements: &[Element<'_>], key: &str) -> Vec<ConfigError> {
    unique_by(elements, key, str::to_owned)
}

/// The same for texts with several spellings; `canonical` returns one of them.
pub(super) fn unique_by(elements: &[Element<'_>], key: &str, canonical: impl Fn(&str) -> String) -> Vec<ConfigError> {
    let mut seen: HashMap<String, &Element<'_>> = HashMap::new();
    let mut errors = Vec::new();
    for element in elements {
        let Some(name) = element.text(key).map(&canonical) else { continue };
        match seen.get(&name) {
            Some(first) => {
                let name = name_of(element.value).unwrap_or_default();
                errors.push(element.error(key, Problem::Taken { name, other: first.place(key) }));
            }
            None => {
                seen.insert(name, element);
            }
        }
    }
    errors
}
