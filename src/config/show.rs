//! The effective settings as operators would write them, each with the place where it was set; secrets are redacted.

use std::fmt;

use figment::value::Value;
use serde::Serialize;
use serde_json::Value as Json;

use super::key::{KeyPath, toml_key};
use super::layer::{self, Layers};
use super::place::Place;
use super::schema::{self, Kind};

/// One table of the effective settings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Section {
    /// Its header as TOML writes it, such as `[cache]` or `[[asset]]`; empty for top-level keys.
    pub table: String,
    /// Its settings.
    pub settings: Vec<Effective>,
}

/// One effective setting.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Effective {
    /// Its key within the table.
    pub key: String,
    /// Its path from the root, with list indices counted within `place`.
    pub path: String,
    /// Its value; secrets are redacted.
    pub value: Json,
    /// Where it was set.
    pub place: Place,
}

impl fmt::Display for Section {
    /// Formats as TOML, with the place of each value as a comment.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.table.is_empty() {
            writeln!(f, "{}", self.table)?;
        }
        let lines: Vec<_> = self
            .settings
            .iter()
            .map(|setting| {
                (format!("{} = {}", toml_key(&setting.key), schema::literal(&setting.value)), &setting.place)
            })
            .collect();
        // A few long lines must not push every comment out of sight.
        let width = lines.iter().map(|(line, _)| line.chars().count()).filter(|width| *width <= 60).max();
        for (line, place) in &lines {
            writeln!(f, "{line:width$}  # {place}", width = width.unwrap_or_default())?;
        }
        Ok(())
    }
}

/// All effective settings, in the order of the schema.
pub(super) fn sections(layers: &Layers) -> Vec<Section> {
    let mut shower = Shower { layers, sections: Vec::new() };
    shower.table(Some(layers.values()), schema::schema(), &KeyPath::root(), "", false);
    shower.sections
}

struct Shower<'l> {
    layers: &'l Layers,
    sections: Vec<Section>,
}

impl Shower<'_> {
    /// Adds the table `name`; `element` if it is a list element.
    fn table(&mut self, value: Option<&Value>, schema: &Json, path: &KeyPath, name: &str, element: bool) {
        let table = match (name, element) {
            ("", _) => String::new(),
            (name, true) => format!("[[{name}]]"),
            (name, false) => format!("[{name}]"),
        };
        let mut settings = Vec::new();
        let mut tables: Vec<(String, Option<Value>, Json)> = Vec::new();
        for (key, set, schema) in entries(value, schema) {
            // The tag of a default form is not a default of its own.
            let default = schema.get("default").or_else(|| schema.get("const"));
            match (Kind::of(schema), set, default) {
                (Kind::Table(_) | Kind::Map(_) | Kind::Tagged(..), None, None) => {}
                (Kind::Table(_) | Kind::Map(_) | Kind::Tagged(..), set, _) => {
                    tables.push((key, set.cloned(), schema.clone()));
                }
                (Kind::List(items), set, _) if schema::properties(items).is_some() => {
                    tables.push((key, set.cloned(), schema.clone()));
                }
                (_, Some(value), _) => {
                    let path = path.key(&key);
                    let place = self.layers.place(value.tag(), &path);
                    settings.push(Effective { path: path.to_string(), value: shown(value, schema), place, key });
                }
                (_, None, Some(default)) => {
                    let path = path.key(&key).to_string();
                    settings.push(Effective { key, path, value: default.clone(), place: Place::Default });
                }
                (_, None, None) => {}
            }
        }
        if !settings.is_empty() || element {
            self.sections.push(Section { table, settings });
        }
        for (key, value, schema) in tables {
            let inner = if name.is_empty() { toml_key(&key) } else { format!("{name}.{}", toml_key(&key)) };
            let path = path.key(&key);
            match Kind::of(&schema) {
                Kind::List(items) => {
                    let elements = value.as_ref().and_then(Value::as_array).unwrap_or_default();
                    for (path, element) in layer::elements(&path, elements) {
                        self.table(Some(element), items, &path, &inner, true);
                    }
                }
                _ => self.table(value.as_ref(), &schema, &path, &inner, false),
            }
        }
    }
}

/// All keys of a table that are set or could be, with their schemas.
fn entries<'a>(value: Option<&'a Value>, schema: &'a Json) -> Vec<(String, Option<&'a Value>, &'a Json)> {
    let set = value.and_then(Value::as_dict);
    let of = |key: &str| set.and_then(|table| table.get(key));
    let keys = match Kind::of(schema) {
        Kind::Table(keys) => keys,
        Kind::Map(values) => {
            return set.into_iter().flatten().map(|(key, value)| (key.clone(), Some(value), values)).collect();
        }
        Kind::Tagged(tag, forms) => {
            let default = || schema.get("default").and_then(|default| default.get(tag)).and_then(Json::as_str);
            let chosen = of(tag).and_then(Value::as_str).or_else(default).unwrap_or_default();
            match schema::form(tag, forms, chosen).and_then(schema::properties) {
                Some(keys) => keys,
                None => return Vec::new(),
            }
        }
        _ => return Vec::new(),
    };
    keys.iter().map(|(key, schema)| (key.clone(), of(key), schema)).collect()
}

/// A value with secrets redacted.
fn shown(value: &Value, schema: &Json) -> Json {
    match (Kind::of(schema), value) {
        (Kind::Formatted(format), Value::String(_, text)) => Json::from(format.shown(text)),
        (Kind::Formatted(format), _) if format.name == "secret" => Json::from("(secret)"),
        (Kind::List(items), Value::Array(_, elements)) => {
            Json::from(elements.iter().map(|element| shown(element, items)).collect::<Vec<_>>())
        }
        // Validated values are texts, numbers and Booleans, which JSON has too.
        _ => serde_json::to_value(value).unwrap_or_default(),
    }
}
