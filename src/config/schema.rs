//! The JSON Schema of the configuration, and functions that read it for validation, explanations and `config show`.

use std::fmt::Write as _;
use std::sync::LazyLock;

use schemars::generate::SchemaSettings;
use serde_json::Value as Json;

use super::format::FormatInfo;
use super::key::{KeyPath, toml_key};
use super::raw;
use super::size::Size;

static SCHEMA: LazyLock<Json> = LazyLock::new(|| {
    let generator = SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true).into_generator();
    let mut schema = generator.into_root_schema_for::<raw::Settings>().to_value();
    tidy(&mut schema);
    schema
});

/// The JSON Schema (draft 2020-12) of a configuration file, for editors and other validators.
pub fn schema() -> &'static Json {
    &SCHEMA
}

/// Removes artefacts of Rust: nulls, because optional TOML keys are omitted, and line breaks of doc comments within a
/// paragraph.
fn tidy(schema: &mut Json) {
    match schema {
        Json::Object(object) => {
            if let Some(Json::Array(types)) = object.get_mut("type") {
                types.retain(|kind| kind != "null");
                if let [only] = types.as_slice() {
                    let only = only.clone();
                    object.insert("type".to_owned(), only);
                }
            }
            if let Some(Json::Array(any)) = object.get_mut("anyOf") {
                any.retain(|schema| schema.get("type").is_none_or(|kind| kind != "null"));
                if let [Json::Object(only)] = any.as_slice() {
                    let only = only.clone();
                    object.remove("anyOf");
                    for (keyword, value) in only {
                        object.entry(keyword).or_insert(value);
                    }
                }
            }
            if let Some(Json::String(text)) = object.get_mut("description") {
                let paragraphs: Vec<_> = text.split("\n\n").map(|paragraph| paragraph.replace('\n', " ")).collect();
                *text = paragraphs.join("\n\n");
            }
            object.retain(|keyword, value| keyword != "default" || !value.is_null());
            object.values_mut().for_each(tidy);
        }
        Json::Array(items) => items.iter_mut().for_each(tidy),
        _ => {}
    }
}

/// Kind of value that a schema describes.
pub(super) enum Kind<'s> {
    /// A table with these keys.
    Table(&'s serde_json::Map<String, Json>),
    /// A table whose keys the operator chooses, with values of this schema.
    Map(&'s Json),
    /// A table with several forms: the key that distinguishes them, and the schema of each.
    Tagged(&'s str, &'s [Json]),
    /// One of these texts.
    Choice(Vec<&'s str>),
    /// A list with elements of this schema.
    List(&'s Json),
    /// Any one of these schemas; no two accept the same type.
    Either(&'s [Json]),
    /// Any value.
    Any,
    /// A text of this format.
    Formatted(&'static FormatInfo),
    /// Any text.
    Text,
    /// A non-negative integer.
    Number,
    /// A Boolean.
    Flag,
}

impl<'s> Kind<'s> {
    /// The kind that this schema describes. A schema that the configuration does not use counts as text.
    pub(super) fn of(schema: &'s Json) -> Self {
        if let Some(forms) = schema.get("oneOf").and_then(Json::as_array) {
            let choices: Vec<&str> = forms.iter().filter_map(constant).collect();
            if choices.len() == forms.len() {
                return Self::Choice(choices);
            }
            let tag = forms.first().and_then(properties).and_then(|properties| {
                properties.iter().find(|(_, schema)| constant(schema).is_some()).map(|(name, _)| name.as_str())
            });
            if let Some(tag) = tag {
                return Self::Tagged(tag, forms);
            }
        }
        if let Some(forms) = schema.get("anyOf").and_then(Json::as_array) {
            return Self::Either(forms);
        }
        if let Some(format) = schema.get("format").and_then(Json::as_str).and_then(FormatInfo::named) {
            return Self::Formatted(format);
        }
        match schema.get("type").and_then(Json::as_str) {
            Some("object") => match (properties(schema), schema.get("additionalProperties")) {
                (None, Some(values @ (Json::Object(_) | Json::Bool(true)))) => Self::Map(values),
                (Some(keys), _) => Self::Table(keys),
                (None, _) => Self::Text,
            },
            Some("array") => schema.get("items").map_or(Self::Text, Self::List),
            Some("integer") => Self::Number,
            Some("boolean") => Self::Flag,
            None if *schema == Json::Bool(true) => Self::Any,
            _ => Self::Text,
        }
    }
}

/// The keys of a table's schema.
pub(super) fn properties(schema: &Json) -> Option<&serde_json::Map<String, Json>> {
    schema.get("properties").and_then(Json::as_object)
}

/// The schema of a key of a table: one of its properties, or a number where it allows them.
pub(super) fn property<'s>(schema: &'s Json, key: &str) -> Option<&'s Json> {
    let number = || schema.get("patternProperties")?.get(raw::NUMBERS).filter(|_| key.parse::<u16>().is_ok());
    properties(schema)?.get(key).or_else(number)
}

/// The only text that a schema allows.
pub(super) fn constant(schema: &Json) -> Option<&str> {
    schema.get("const").and_then(Json::as_str)
}

/// The form of a tagged table with this tag.
pub(super) fn form<'s>(tag: &str, forms: &'s [Json], value: &str) -> Option<&'s Json> {
    forms.iter().find(|form| properties(form).and_then(|keys| constant(keys.get(tag)?)) == Some(value))
}

/// All tags of a tagged table.
pub(super) fn tags<'s>(tag: &str, forms: &'s [Json]) -> Vec<&'s str> {
    forms.iter().filter_map(|form| constant(properties(form)?.get(tag)?)).collect()
}

/// The schema of the value at `path`, if there is one.
pub(super) fn at(path: &KeyPath) -> Option<&'static Json> {
    path.keys().try_fold(schema(), |schema, key| match Kind::of(schema) {
        Kind::Table(_) => property(schema, key),
        Kind::Map(values) => Some(values),
        Kind::List(items) => properties(items)?.get(key),
        Kind::Tagged(_, forms) => forms.iter().find_map(|form| properties(form)?.get(key)),
        _ => None,
    })
}

/// Description of the expected value, which ends the sentence "expected …".
pub(super) fn expected(schema: &Json) -> String {
    let bound = |keyword| schema.get(keyword).and_then(Json::as_u64);
    match Kind::of(schema) {
        Kind::Table(_) | Kind::Map(_) | Kind::Tagged(..) => "a table".to_owned(),
        Kind::Choice(choices) => one_of(&choices),
        Kind::List(items) => format!("a list, each element {}", expected(items)),
        Kind::Formatted(format) => match (bound("minimum"), bound("maximum")) {
            (Some(least), Some(most)) => format!("{}, from {} to {}", format.expected, Size(least), Size(most)),
            _ => format.expected.to_owned(),
        },
        Kind::Either(forms) => {
            // One form is a list of the other.
            let form = |form| {
                if matches!(Kind::of(form), Kind::List(_)) { "a list of such".to_owned() } else { expected(form) }
            };
            forms.iter().map(form).collect::<Vec<_>>().join(", or ")
        }
        Kind::Any => "any value".to_owned(),
        Kind::Text => "a text".to_owned(),
        Kind::Number => match (bound("minimum"), bound("maximum")) {
            (Some(least), Some(most)) => format!("a whole number from {least} to {most}"),
            _ => "a whole number".to_owned(),
        },
        Kind::Flag => "true or false".to_owned(),
    }
}

/// `"a", "b" or "c"`.
pub(super) fn one_of(choices: &[&str]) -> String {
    let mut text = String::new();
    for (position, choice) in choices.iter().enumerate() {
        let before = match position {
            0 => "",
            last if last + 1 == choices.len() => " or ",
            _ => ", ",
        };
        // Writing to a String cannot fail.
        let _ = write!(text, "{before}{choice:?}");
    }
    text
}

/// `value` as TOML writes it on one line.
pub(super) fn literal(value: &Json) -> String {
    match value {
        Json::Array(items) => format!("[{}]", items.iter().map(literal).collect::<Vec<_>>().join(", ")),
        Json::Object(entries) if entries.is_empty() => "{}".to_owned(),
        Json::Object(entries) => {
            let entries: Vec<_> =
                entries.iter().map(|(key, value)| format!("{} = {}", toml_key(key), literal(value))).collect();
            format!("{{ {} }}", entries.join(", "))
        }
        scalar => scalar.to_string(),
    }
}

/// Whether a table of this schema requires the key `name`.
pub(super) fn requires(schema: &Json, name: &str) -> bool {
    schema.get("required").and_then(Json::as_array).is_some_and(|keys| keys.iter().any(|key| key == name))
}
