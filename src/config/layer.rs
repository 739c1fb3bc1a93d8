//! Configuration layers (files, environment, flags), merged in order of precedence, with the source of each value.

use std::collections::{BTreeSet, HashMap};
use std::time::SystemTime;

use figment::value::{Dict, Map, Tag, Value};
use figment::{Figment, Metadata, Profile, Provider};

use super::error::Problem;
use super::key::KeyPath;
use super::place::Place;
use super::schema::{self, Kind};

/// Prefix of every environment variable that sets a key.
pub(super) const PREFIX: &str = "BOOTDEPOT_";

/// Variables with the prefix that set no key.
const OTHER_VARIABLES: [&str; 4] = ["BOOTDEPOT_CONFIG", "BOOTDEPOT_LOG", "BOOTDEPOT_LOG_FORMAT", "BOOTDEPOT_TOKEN"];

/// The environment variable that sets the value at `path`.
pub(super) fn variable(path: &KeyPath) -> String {
    let keys: Vec<_> = path.keys().map(str::to_ascii_uppercase).collect();
    format!("{PREFIX}{}", keys.join("__"))
}

/// Values from one source. Not `Debug`: it holds secrets in plain text.
#[derive(Clone)]
pub(super) struct Layer {
    /// The source as a whole, which identifies the layer.
    pub(super) whole: Place,
    /// The values.
    pub(super) values: Dict,
    /// Where each value was set, if known; otherwise the place of its table applies.
    pub(super) places: HashMap<KeyPath, Place>,
    /// Modification time of the source.
    pub(super) since: SystemTime,
    /// Whether the text is not valid TOML. `values` then holds what could be parsed: enough to look up a key, not
    /// enough to validate.
    pub(super) invalid_syntax: bool,
}

impl Layer {
    /// An empty layer.
    pub(super) fn new(whole: Place, since: SystemTime) -> Self {
        Self { whole, values: Dict::new(), places: HashMap::new(), since, invalid_syntax: false }
    }

    /// Where the value at `path` was set, or else the nearest enclosing table.
    pub(super) fn place(&self, path: &KeyPath) -> Place {
        let mut path = path.clone();
        loop {
            match (self.places.get(&path), path.parent()) {
                (Some(place), _) => return place.clone(),
                (None, Some(parent)) => path = parent,
                (None, None) => return self.whole.clone(),
            }
        }
    }

    /// Sets the value at `path` from its text.
    pub(super) fn set(&mut self, path: &KeyPath, text: &str, place: Place) {
        insert(&mut self.values, &path.keys().collect::<Vec<_>>(), value(path, text));
        self.places.insert(path.clone(), place);
    }

    /// Sets the list at `path`.
    pub(super) fn set_list(&mut self, path: &KeyPath, texts: &[String], place: Place) {
        let list: Vec<Value> = texts.iter().map(|text| Value::from(text.as_str())).collect();
        insert(&mut self.values, &path.keys().collect::<Vec<_>>(), Value::from(list));
        self.places.insert(path.clone(), place);
    }

    /// The layer of the environment variables that set keys.
    pub(super) fn environment(variables: impl IntoIterator<Item = (String, String)>, since: SystemTime) -> Self {
        let mut layer = Self::new(Place::Environment { variable: "the environment".to_owned() }, since);
        // Sorted, so that a table precedes its keys.
        let variables: BTreeSet<_> = variables.into_iter().collect();
        for (name, text) in variables {
            let Some(keys) = name.strip_prefix(PREFIX).filter(|_| !OTHER_VARIABLES.contains(&name.as_str())) else {
                continue;
            };
            let path = KeyPath::of(keys.split("__").map(str::to_ascii_lowercase));
            layer.set(&path, &text, Place::Environment { variable: name.clone() });
        }
        layer
    }
}

/// The value of `text` for the key at `path`: parsed as figment parses environment variables, then converted where the
/// key takes only a string or a list.
fn value(path: &KeyPath, text: &str) -> Value {
    // figment 0.10.19 confuses characters with bytes when it unescapes, and panics: such a text is taken literally.
    let literal = !text.is_ascii() && text.contains('\\');
    let parsed = match if literal { Ok(Value::from(text)) } else { text.parse() } {
        Ok(Value::Char(_, character)) => Value::from(character.to_string()),
        Ok(value) => value,
        Err(never) => match never {},
    };
    match (schema::at(path).map(Kind::of), &parsed) {
        (Some(Kind::Text | Kind::Formatted(_) | Kind::Choice(_)), Value::String(..)) => parsed,
        // A size may be a number. A password of digits, or a name such as "true", is still a string.
        (Some(Kind::Formatted(format)), Value::Num(..)) if format.number => parsed,
        (Some(Kind::Text | Kind::Formatted(_) | Kind::Choice(_)), _) => Value::from(text),
        (Some(Kind::List(items)), Value::String(..)) if schema::properties(items).is_none() => {
            Value::from(vec![parsed])
        }
        _ => parsed,
    }
}

fn insert(table: &mut Dict, keys: &[&str], value: Value) {
    match keys {
        [] => {}
        [last] => {
            table.insert((*last).to_owned(), value);
        }
        [first, rest @ ..] => {
            let inner = table.entry((*first).to_owned()).or_insert_with(|| Value::from(Dict::new()));
            // A value in place of a table is left for the validation to report.
            if let Value::Dict(_, inner) = inner {
                insert(inner, rest, value);
            }
        }
    }
}

impl Provider for Layer {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.whole.to_string())
    }

    fn data(&self) -> figment::Result<Map<Profile, Dict>> {
        Ok(Map::from([(Profile::Default, self.values.clone())]))
    }
}

/// All layers, merged. Not `Debug`: they hold secrets in plain text.
#[derive(Clone)]
pub(super) struct Layers {
    stack: Vec<Layer>,
    figment: Figment,
    values: Value,
}

impl Layers {
    /// Merges the files, whose lists are concatenated, then the environment, then the flags.
    pub(super) fn new(files: Vec<Layer>, environment: Layer, flags: Layer) -> Result<Self, Problem> {
        let mut figment = files.iter().fold(Figment::new(), |figment, file| figment.adjoin(file));
        figment = figment.merge(&environment).merge(&flags);
        let values = figment.find_value("").map_err(|error| Problem::Internal(error.to_string()))?;
        let stack = files.into_iter().chain([environment, flags]).collect();
        Ok(Self { stack, figment, values })
    }

    /// The effective values.
    pub(super) fn values(&self) -> &Value {
        &self.values
    }

    /// The value at `path`, such as `admin.listen`. `None` if it is not set; an error if it is not a `T`.
    pub(super) fn get<T: serde::de::DeserializeOwned>(&self, path: &str) -> Option<figment::Result<T>> {
        self.values.find_ref(path).map(Value::deserialize)
    }

    /// The effective elements of the list `key`; empty if it is not a list.
    pub(super) fn list(&self, key: &str) -> &[Value] {
        self.values.find_ref(key).and_then(Value::as_array).unwrap_or_default()
    }

    /// The effective values as `T`.
    pub(super) fn extract<T: serde::de::DeserializeOwned>(&self) -> Result<T, Vec<Problem>> {
        let internal = |error: figment::Error| Problem::Internal(error.to_string());
        self.figment.extract().map_err(|errors| errors.into_iter().map(internal).collect())
    }

    /// The layers, lowest precedence first.
    pub(super) fn layers(&self) -> &[Layer] {
        &self.stack
    }

    /// The layer of the shared catalog.
    pub(super) fn shared(&self) -> Option<&Layer> {
        self.stack.iter().find(|layer| matches!(layer.whole, Place::Url { .. }))
    }

    /// The layer that set the value with this tag.
    pub(super) fn layer(&self, tag: Tag) -> Option<&Layer> {
        let metadata = self.figment.get_metadata(tag)?;
        self.stack.iter().find(|layer| layer.metadata() == *metadata)
    }

    /// Where the value with this tag, at `path` of its layer, was set.
    pub(super) fn place(&self, tag: Tag, path: &KeyPath) -> Place {
        self.layer(tag).map_or(Place::Default, |layer| layer.place(path))
    }
}

/// The elements of a list, each with its path in its own layer: lists of several files are concatenated, and operators
/// count in each file from its start.
pub(super) fn elements<'v>(path: &KeyPath, elements: &'v [Value]) -> impl Iterator<Item = (KeyPath, &'v Value)> {
    let mut seen: HashMap<Tag, usize> = HashMap::new();
    elements.iter().map(move |element| {
        let count = seen.entry(element.tag()).or_default();
        let index = *count;
        *count += 1;
        (path.index(index), element)
    })
}
