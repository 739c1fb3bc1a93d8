//! Explains each key of the configuration: type, default and meaning, as the schema has them from the doc comments.

use std::fmt::Write as _;

use serde::Serialize;
use serde_json::Value as Json;

use super::key::KeyPath;
use super::layer;
use super::schema::{Kind, constant, expected, literal, one_of, properties, requires, schema, tags};

/// Description of one key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// Its dotted name; `[]` stands for any element of a list, `NAME` for a key that the operator chooses.
    pub key: String,
    /// Its type.
    pub takes: String,
    /// Its default as TOML; `None` without one.
    pub default: Option<String>,
    /// Whether it is required wherever its table is present.
    pub required: bool,
    /// Its meaning.
    pub meaning: String,
    /// Whether it is a table or a list of tables: a heading that is not set on one line.
    #[serde(skip)]
    pub table: bool,
}

impl Explanation {
    /// All keys of the configuration, each table before its keys.
    pub fn all() -> Vec<Self> {
        let mut found = Vec::new();
        walk(schema(), "", false, &mut found);
        found
    }

    /// The environment variable that sets it; `None` within a list.
    pub fn variable(&self) -> Option<String> {
        let mut keys = self.key.split('.');
        let settable = keys.all(|key| !key.ends_with("[]") && key != "NAME");
        settable.then(|| layer::variable(&KeyPath::of(self.key.split('.'))))
    }
}

fn walk(schema: &Json, key: &str, required: bool, found: &mut Vec<Explanation>) {
    let entry = |key: &str, takes: String, table: bool| Explanation {
        key: key.to_owned(),
        takes,
        default: schema.get("default").filter(|_| !table).map(literal),
        required,
        meaning: meaning(schema).to_owned(),
        table,
    };
    let below = |name: &str| if key.is_empty() { name.to_owned() } else { format!("{key}.{name}") };
    match Kind::of(schema) {
        Kind::Table(keys) => {
            if !key.is_empty() {
                found.push(entry(key, "a table".to_owned(), true));
            }
            for (name, schema_of_key) in keys {
                walk(schema_of_key, &below(name), requires(schema, name), found);
            }
        }
        Kind::Map(values) => {
            found.push(Explanation { default: None, ..entry(&below("NAME"), expected(values), false) });
            if let Kind::Either(forms) = Kind::of(values) {
                for form in forms {
                    keys_of_form(form, &below("NAME"), found);
                }
            }
        }
        Kind::Tagged(tag, forms) => {
            found.push(entry(key, "a table".to_owned(), true));
            let choices = tags(tag, forms);
            let meanings: Vec<_> =
                forms.iter().zip(&choices).map(|(form, choice)| format!("\n\n`{choice}`: {}", meaning(form))).collect();
            found.push(Explanation {
                key: below(tag),
                takes: one_of(&choices),
                default: schema.get("default").and_then(|default| default.get(tag)).map(literal),
                required: true,
                meaning: format!("Where they come from.{}", meanings.concat()),
                table: false,
            });
            for (form, choice) in forms.iter().zip(choices) {
                for (name, schema_of_key) in properties(form).into_iter().flatten().filter(|(name, _)| *name != tag) {
                    let first = found.len();
                    walk(schema_of_key, &below(name), requires(form, name), found);
                    for explanation in &mut found[first..] {
                        explanation.meaning = format!("With `{tag} = \"{choice}\"`: {}", explanation.meaning);
                    }
                }
            }
        }
        Kind::List(items) if properties(items).is_some() => {
            let list = format!("{key}[]");
            found.push(entry(&list, "a list of tables".to_owned(), true));
            for (name, schema_of_key) in properties(items).into_iter().flatten() {
                walk(schema_of_key, &format!("{list}.{name}"), requires(items, name), found);
            }
        }
        Kind::Choice(choices) => {
            let mut explanation = entry(key, one_of(&choices), false);
            let forms = schema.get("oneOf").and_then(Json::as_array);
            for form in forms.into_iter().flatten() {
                let choice = constant(form).unwrap_or_default();
                let _ = write!(explanation.meaning, "\n\n`{choice}`: {}", meaning(form));
            }
            found.push(explanation);
        }
        kind => {
            found.push(entry(key, expected(schema), false));
            if let Kind::List(items) = kind
                && let Kind::Either(forms) = Kind::of(items)
            {
                for form in forms {
                    keys_of_form(form, &format!("{key}[]"), found);
                }
            }
        }
    }
}

/// The keys of the table form of a value that also has a shorter form.
fn keys_of_form(form: &Json, key: &str, found: &mut Vec<Explanation>) {
    for (name, schema) in properties(form).into_iter().flatten() {
        walk(schema, &format!("{key}.{name}"), requires(form, name), found);
    }
}

fn meaning(schema: &Json) -> &str {
    schema.get("description").and_then(Json::as_str).unwrap_or_default()
}
