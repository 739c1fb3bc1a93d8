//! Which names there are, for an error about one that there is not.

use minijinja::value::ValueKind;
use minijinja::{Error, ErrorKind, Value};

use super::filters;
use crate::boot::closest::{closest, suggestion};

/// The most names that a message lists.
const MOST: usize = 20;

/// Returns the names in the place of an unknown one, as the end of a sentence; empty if the error is about something else.
pub(super) fn known(error: &Error, context: &Value) -> String {
    match error.kind() {
        ErrorKind::UndefinedError => error.detail().and_then(missing_name).and_then(|path| siblings(path, context)),
        ErrorKind::UnknownFunction => {
            error.detail().and_then(|detail| siblings(detail.split_whitespace().next()?, context))
        }
        ErrorKind::UnknownFilter => Some(format!("; beside Jinja's own there are {}", list(&filters::NAMES))),
        _ => None,
    }
    .unwrap_or_default()
}

/// The path in a message such as "`host.vars.role` is undefined".
fn missing_name(detail: &str) -> Option<&str> {
    let (_, rest) = detail.split_once('`')?;
    rest.split_once('`').map(|(path, _)| path)
}

/// The names beside the last one of `path`, after the part of it that exists.
fn siblings(path: &str, context: &Value) -> Option<String> {
    let mut place = context.clone();
    let mut known: Vec<&str> = Vec::new();
    for name in path.split('.') {
        let next = place.get_attr(name).ok().filter(|value| !value.is_undefined());
        let Some(next) = next else {
            let names: Vec<String> = place.try_iter().ok()?.filter_map(|key| Some(key.as_str()?.to_owned())).collect();
            let is_local = known.is_empty() && path.contains('.');
            if is_local || place.kind() != ValueKind::Map {
                return None;
            }
            let mut names: Vec<&str> = names.iter().map(String::as_str).collect();
            names.sort_unstable();
            let closest = suggestion(closest(name, names.iter().copied()).as_deref());
            return Some(match (known.as_slice(), names.as_slice()) {
                (place, []) => format!("; {} is empty", place.join(".")),
                ([], names) => format!("{closest}; there are {}", list(names)),
                (place, names) => format!("{closest}; {} has {}", place.join("."), list(names)),
            });
        };
        known.push(name);
        place = next;
    }
    None
}

/// Names in a row: `a, b and c`.
fn list(names: &[&str]) -> String {
    match names {
        [] => String::new(),
        [one] => (*one).to_owned(),
        many if many.len() > MOST => format!("{} and {} more", many[..MOST].join(", "), many.len() - MOST),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}
