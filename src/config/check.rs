//! Validates values against the schema: reports every wrong type, text, key and list, not only the first.

use figment::value::{Dict, Num, Value};
use serde_json::Value as Json;

use super::error::{ConfigError, Problem};
use super::format::FormatInfo;
use super::key::KeyPath;
use super::layer::{self, Layers};
use super::place::Place;
use super::schema::{self, Kind};
use super::size::Size;
use super::written::Format as _;
use crate::asset::SourcePrefix;

/// All violations of the schema by the effective values.
pub(super) fn check(layers: &Layers) -> Vec<ConfigError> {
    let mut checker = Checker { layers, errors: Vec::new(), of: None };
    checker.value(layers.values(), schema::schema(), &KeyPath::root());
    checker.errors
}

struct Checker<'l> {
    layers: &'l Layers,
    errors: Vec<ConfigError>,
    /// Name of the list element that is being checked.
    of: Option<String>,
}

impl Checker<'_> {
    fn value(&mut self, value: &Value, schema: &Json, path: &KeyPath) {
        match (Kind::of(schema), value) {
            (Kind::Table(keys), Value::Dict(_, table)) => self.table(value, table, schema, keys, path),
            (Kind::Map(values), Value::Dict(_, table)) => {
                for (key, value) in table {
                    self.value(value, values, &path.key(key));
                }
            }
            (Kind::Tagged(tag, forms), Value::Dict(_, table)) => self.tagged(value, table, tag, forms, path),
            (Kind::List(items), Value::Array(_, elements)) => self.list(value, elements, schema, items, path),
            (Kind::Either(forms), value) => match forms.iter().find(|form| takes(&Kind::of(form), value)) {
                Some(form) => self.value(value, form, path),
                None => self.wrong(value, schema, path, String::new()),
            },
            (Kind::Choice(choices), Value::String(_, text)) => {
                if !choices.contains(&text.as_str()) {
                    self.wrong(value, schema, path, String::new());
                }
            }
            (Kind::Formatted(format), Value::String(_, text)) => match (format.check)(text) {
                Ok(()) => {
                    if let (true, Ok(size)) = (format.number, text.parse::<Size>()) {
                        self.bounds(value, schema, path, size.0);
                    }
                }
                Err(reason) => self.wrong(value, schema, path, reason),
            },
            (Kind::Formatted(FormatInfo { number: true, .. }) | Kind::Number, Value::Num(_, number)) => {
                match whole(*number) {
                    Some(number) => self.bounds(value, schema, path, number),
                    None => self.wrong(value, schema, path, String::new()),
                }
            }
            // An empty value marks one that was reported when its file was read.
            (Kind::Flag, Value::Bool(..)) | (Kind::Any, _) | (_, Value::Empty(..)) => {}
            (Kind::Text, Value::String(_, text)) => {
                if text.is_empty() && minimum(schema, "minLength") {
                    self.wrong(value, schema, path, "it is empty".to_owned());
                }
            }
            _ => self.wrong(value, schema, path, String::new()),
        }
    }

    fn table(
        &mut self,
        value: &Value,
        table: &Dict,
        schema: &Json,
        keys: &serde_json::Map<String, Json>,
        path: &KeyPath,
    ) {
        for (key, value) in table {
            match schema::property(schema, key) {
                Some(schema) => self.value(value, schema, &path.key(key)),
                None => self.unknown(value, keys, path, key),
            }
        }
        for (key, schema_of_key) in keys.iter().filter(|(key, _)| !table.contains_key(*key)) {
            if schema::requires(schema, key) {
                let expected = schema::expected(schema_of_key);
                self.error(self.place(value, path), path.key(key), Problem::Missing { expected });
            }
        }
        let dependencies = schema.get("dependentRequired").and_then(Json::as_object);
        for (key, others) in dependencies.into_iter().flatten() {
            let Some(set) = table.get(key) else { continue };
            for other in others.as_array().into_iter().flatten().filter_map(Json::as_str) {
                if !table.contains_key(other) {
                    let path = path.key(key);
                    self.error(self.place(set, &path), path, Problem::Alone { other: other.to_owned() });
                }
            }
        }
    }

    fn tagged(&mut self, value: &Value, table: &Dict, tag: &str, forms: &[Json], path: &KeyPath) {
        let expected = || schema::one_of(&schema::tags(tag, forms));
        let Some(chosen) = table.get(tag) else {
            return self.error(self.place(value, path), path.key(tag), Problem::Missing { expected: expected() });
        };
        let form = chosen.as_str().and_then(|chosen| schema::form(tag, forms, chosen));
        if let Some((form, keys)) = form.and_then(|form| Some((form, schema::properties(form)?))) {
            return self.table(value, table, form, keys, path);
        }
        let path = path.key(tag);
        let problem = Problem::Wrong { found: found(chosen, None), expected: expected(), reason: String::new() };
        self.error(self.place(chosen, &path), path, problem);
    }

    fn list(&mut self, value: &Value, elements: &[Value], schema: &Json, items: &Json, path: &KeyPath) {
        if elements.is_empty() && minimum(schema, "minItems") {
            self.wrong(value, schema, path, "it is empty".to_owned());
        }
        for (path, element) in layer::elements(path, elements) {
            let outer = self.of.take();
            self.of = name_of(element).or(outer.clone());
            self.value(element, items, &path);
            self.of = outer;
        }
    }

    /// Checks the bounds of a number or a size.
    fn bounds(&mut self, value: &Value, schema: &Json, path: &KeyPath, number: u64) {
        let bound = |keyword| schema.get(keyword).and_then(Json::as_u64);
        let within =
            bound("minimum").is_none_or(|least| number >= least) && bound("maximum").is_none_or(|most| number <= most);
        if !within {
            self.wrong(value, schema, path, String::new());
        }
    }

    fn unknown(&mut self, value: &Value, keys: &serde_json::Map<String, Json>, path: &KeyPath, key: &str) {
        let place = self.place(value, &path.key(key));
        let variable = matches!(place, Place::Environment { .. }) && !path.to_string().contains('[');
        let name = |key: &str| if variable { layer::variable(&path.key(key)) } else { key.to_owned() };
        let nearest = nearest(key, keys.keys().map(String::as_str)).map(name);
        let known = keys.keys().map(|key| name(key)).collect();
        self.error(place, path.key(key), Problem::Unknown { variable, nearest, known });
    }

    fn wrong(&mut self, value: &Value, schema: &Json, path: &KeyPath, reason: String) {
        let found = match (Kind::of(schema), value) {
            (Kind::Formatted(format), _) => found(value, Some(format)),
            // The text may hold secrets.
            (Kind::Table(_) | Kind::Map(_) | Kind::Tagged(..) | Kind::List(_), Value::String(..)) => {
                "a text".to_owned()
            }
            _ => found(value, None),
        };
        let problem = Problem::Wrong { found, expected: schema::expected(schema), reason };
        self.error(self.place(value, path), path.clone(), problem);
    }

    fn place(&self, value: &Value, path: &KeyPath) -> Place {
        self.layers.place(value.tag(), path)
    }

    fn error(&mut self, place: Place, key: KeyPath, problem: Problem) {
        self.errors.push(ConfigError { place, key, of: self.of.clone(), problem });
    }
}

/// Whether the value has the type that the kind takes, regardless of its content.
fn takes(kind: &Kind<'_>, value: &Value) -> bool {
    match kind {
        Kind::Table(_) | Kind::Map(_) | Kind::Tagged(..) => value.as_dict().is_some(),
        Kind::List(_) => value.as_array().is_some(),
        Kind::Text | Kind::Formatted(_) | Kind::Choice(_) => value.as_str().is_some(),
        Kind::Number => value.to_num().is_some(),
        Kind::Flag => value.to_bool().is_some(),
        Kind::Either(forms) => forms.iter().any(|form| takes(&Kind::of(form), value)),
        Kind::Any => true,
    }
}

/// The value of a non-negative integer.
fn whole(number: Num) -> Option<u64> {
    let signed = || number.to_i128().and_then(|number| u64::try_from(number).ok());
    number.to_u128().and_then(|number| u64::try_from(number).ok()).or_else(signed)
}

/// Whether the schema forbids emptiness by this keyword.
fn minimum(schema: &Json, keyword: &str) -> bool {
    schema.get(keyword).and_then(Json::as_u64).is_some_and(|least| least > 0)
}

/// Name of a list element: an asset's name, an origin's `match`.
pub(super) fn name_of(element: &Value) -> Option<String> {
    let table = element.as_dict()?;
    let name = table.get("name").or_else(|| table.get("match")).or_else(|| table.get("prefix"))?;
    name.as_str().map(SourcePrefix::shown)
}

/// A value for an error message: short, on one line, without secrets.
fn found(value: &Value, format: Option<&FormatInfo>) -> String {
    let secret = format.is_some_and(|format| format.name == "secret");
    match value {
        Value::String(_, text) => {
            let text = format.map_or_else(|| text.clone(), |format| format.shown(text));
            if secret && text == "(secret)" { "a text".to_owned() } else { quoted(&text) }
        }
        Value::Char(_, character) => quoted(&character.to_string()),
        Value::Num(..) if secret => "a number".to_owned(),
        Value::Num(_, number) => match (whole(*number), number.to_i128(), number.to_f64()) {
            (Some(number), ..) => number.to_string(),
            (None, Some(number), _) => number.to_string(),
            (None, None, number) => format!("{:?}", number.unwrap_or(f64::NAN)),
        },
        Value::Bool(_, flag) => flag.to_string(),
        Value::Empty(..) => "nothing".to_owned(),
        Value::Dict(..) => "a table".to_owned(),
        Value::Array(_, elements) if elements.is_empty() => "[]".to_owned(),
        Value::Array(..) => "a list".to_owned(),
    }
}

fn quoted(text: &str) -> String {
    const LONGEST: usize = 80;
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{:?}…", &text[..end]),
        None => format!("{text:?}"),
    }
}

/// The entry of `known` that is most similar to `name`, if it is similar enough to be meant.
pub(super) fn nearest<'k>(name: &str, known: impl Iterator<Item = &'k str>) -> Option<&'k str> {
    // Jaro-Winkler favours a common prefix, which people keep when they abbreviate or add a plural. Suggestions below
    // this score read as guesses.
    const ALIKE: f64 = 0.75;
    let name = name.to_ascii_lowercase().replace('-', "_");
    known
        .map(|known| (strsim::jaro_winkler(&name, known), known))
        .filter(|(alike, _)| *alike >= ALIKE)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, known)| known)
}
