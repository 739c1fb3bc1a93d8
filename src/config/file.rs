//! Reads and parses one settings file, with the line of each value, and resolves its includes.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use figment::value::{Dict, Empty, Value};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::{ConfigError, Problem};
use super::key::KeyPath;
use super::layer::Layer;
use super::place::Place;

/// Reads the settings file at `path`.
///
/// Fails if the file cannot be read. Invalid TOML yields a layer with `invalid_syntax` set. A value that no setting
/// takes is reported and left empty in the layer.
pub(super) fn read(path: &Path) -> std::io::Result<(Layer, Vec<ConfigError>)> {
    let text = fs::read_to_string(path)?;
    let since = fs::metadata(path)?.modified()?;
    Ok(parse(&Place::File { file: path.to_owned(), line: None }, &text, since))
}

/// HTTP dates have no fractions (RFC 9110 5.6.7).
fn whole_seconds(time: SystemTime) -> SystemTime {
    let since_epoch = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    UNIX_EPOCH + Duration::from_secs(since_epoch.as_secs())
}

/// Parses a text whose place is `whole`.
pub(super) fn parse(whole: &Place, text: &str, since: SystemTime) -> (Layer, Vec<ConfigError>) {
    let (table, errors) = DeTable::parse_recoverable(text);
    let mut reader = Reader {
        line_starts: text.match_indices('\n').map(|(at, _)| at + 1).collect(),
        layer: Layer::new(whole.clone(), whole_seconds(since)),
        errors: Vec::new(),
    };
    let values = reader.table(table.get_ref(), &KeyPath::root());
    reader.layer.values = values;
    if !errors.is_empty() {
        reader.layer.invalid_syntax = true;
        // Errors of the remaining values may be caused by the unreadable ones.
        reader.errors = errors.iter().map(|error| syntax(whole, text, error)).collect();
    }
    (reader.layer, reader.errors)
}

fn syntax(whole: &Place, text: &str, error: &toml::de::Error) -> ConfigError {
    let (mut line, mut column, mut shown) = (None, 0, String::new());
    if let Some(span) = error.span() {
        let before = text.get(..span.start).unwrap_or(text);
        let start = before.rfind('\n').map_or(0, |newline| newline + 1);
        line = Some(before.matches('\n').count() + 1);
        column = before[start..].chars().count() + 1;
        text[start..].lines().next().unwrap_or_default().clone_into(&mut shown);
    }
    ConfigError {
        place: at_line(whole, line),
        key: KeyPath::root(),
        of: None,
        problem: Problem::Syntax {
            column,
            reason: error.message().trim().replace('\n', ", "),
            line: Some(shown).filter(|line| !may_hold_a_secret(line)),
        },
    }
}

/// The place of a line of a text.
fn at_line(whole: &Place, line: Option<usize>) -> Place {
    match whole {
        Place::File { file, .. } => Place::File { file: file.clone(), line },
        Place::Url { url, .. } => Place::Url { url: url.clone(), line },
        other => other.clone(),
    }
}

/// Whether the line must not be repeated in an error message, which may end in a log.
fn may_hold_a_secret(line: &str) -> bool {
    let line = line.to_ascii_lowercase();
    ["secret", "token", "password", "authorization", "headers", "credentials", "://"]
        .iter()
        .any(|word| line.contains(word))
}

struct Reader {
    /// Offsets at which the second and further lines begin.
    line_starts: Vec<usize>,
    layer: Layer,
    errors: Vec<ConfigError>,
}

impl Reader {
    fn table(&mut self, table: &DeTable<'_>, path: &KeyPath) -> Dict {
        let mut values = Dict::new();
        for (key, value) in table {
            let path = path.key(key.get_ref());
            self.note(&path, key.span().start);
            values.insert(key.get_ref().to_string(), self.value(value, &path));
        }
        values
    }

    fn value(&mut self, value: &Spanned<DeValue<'_>>, path: &KeyPath) -> Value {
        match value.get_ref() {
            DeValue::String(text) => Value::from(text.as_ref()),
            DeValue::Boolean(flag) => Value::from(*flag),
            DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
                Ok(number) => Value::from(number),
                Err(_) => self.reject(path, number.to_string(), "a whole number below 2^63"),
            },
            DeValue::Float(number) => match number.as_str().parse::<f64>() {
                Ok(number) => Value::from(number),
                Err(_) => self.reject(path, number.to_string(), "a number"),
            },
            DeValue::Datetime(time) => {
                self.reject(path, format!("the date {time}"), "another type; a text is in quotes")
            }
            DeValue::Array(elements) => {
                let mut values = Vec::new();
                for (index, element) in elements.iter().enumerate() {
                    let path = path.index(index);
                    self.note(&path, element.span().start);
                    values.push(self.value(element, &path));
                }
                Value::from(values)
            }
            DeValue::Table(table) => Value::from(self.table(table, path)),
        }
    }

    fn note(&mut self, path: &KeyPath, offset: usize) {
        let line = self.line_starts.partition_point(|start| *start <= offset) + 1;
        let place = at_line(&self.layer.whole, Some(line));
        self.layer.places.insert(path.clone(), place);
    }

    fn reject(&mut self, path: &KeyPath, found: String, expected: &str) -> Value {
        let problem = Problem::Wrong { found, expected: expected.to_owned(), reason: String::new() };
        self.errors.push(ConfigError { place: self.layer.place(path), key: path.clone(), of: None, problem });
        Value::from(Empty::None)
    }
}

/// Files that match `pattern` of an `include` in the settings file `main`, ordered by name. `None` if the pattern's directory
/// does not exist.
pub(super) fn included(main: &Path, pattern: &str) -> std::io::Result<Option<Vec<PathBuf>>> {
    let pattern = main.parent().unwrap_or(Path::new("")).join(pattern);
    let name = pattern.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    if !is_pattern(name) {
        return Ok(Some(vec![pattern]));
    }
    let directory = pattern.parent().filter(|path| !path.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut found = Vec::new();
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let entry = entry?;
        // As in shells, a pattern must begin with a dot to match hidden files: editors leave such files behind.
        let fits = |file: &str| matches(name, file) && (name.starts_with('.') || !file.starts_with('.'));
        if entry.file_name().to_str().is_some_and(fits) {
            found.push(entry.path());
        }
    }
    found.sort();
    Ok(Some(found))
}

/// Whether a file name of `include` has wildcards.
fn is_pattern(name: &str) -> bool {
    name.contains(['*', '?'])
}

/// Whether `name` matches `pattern`: `*` matches any characters, `?` any one.
fn matches(pattern: &str, name: &str) -> bool {
    let mut rest = pattern.chars();
    match rest.next() {
        None => name.is_empty(),
        Some('*') => {
            let rest = rest.as_str();
            name.char_indices().map(|(at, _)| at).chain([name.len()]).any(|at| matches(rest, &name[at..]))
        }
        Some(wanted) => {
            let mut left = name.chars();
            left.next().is_some_and(|c| wanted == '?' || wanted == c) && matches(rest.as_str(), left.as_str())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_names() {
        for (pattern, name, fits) in [
            ("*.toml", "okd.toml", true),
            ("*.toml", "okd.toml~", false),
            ("*.toml", ".toml", true),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("*a*b*", "xaybz", true),
            ("*", "", true),
            ("ü?", "üö", true),
        ] {
            assert_eq!(matches(pattern, name), fits, "{pattern} {name}");
        }
    }
}
