//! Rules of `[[collection]]`.

use figment::value::Value;

use super::element::{Element, unique};
use crate::catalog::name_glob;
use crate::config::error::{ConfigError, Problem};

/// Violations of the rules by these collections.
pub(super) fn check(collections: &[Element<'_>]) -> Vec<ConfigError> {
    let mut errors = unique(collections, "prefix");
    for collection in collections {
        errors.extend(["include", "exclude"].iter().flat_map(|key| globs(collection, key)));
    }
    errors
}

/// Globs that cannot be read.
fn globs(collection: &Element<'_>, key: &str) -> Vec<ConfigError> {
    let texts = collection.value.find_ref(key).and_then(Value::as_array).unwrap_or_default();
    let wrong = texts.iter().enumerate().filter_map(|(index, glob)| {
        let text = glob.as_str()?;
        let reason = name_glob(text).err()?.kind().to_string();
        let key = collection.path.key(key).index(index);
        let (found, expected) = (format!("{text:?}"), "a glob such as \"*.iso\"".to_owned());
        let of = crate::config::check::name_of(collection.value);
        Some(ConfigError {
            place: collection.layer.place(&key),
            key,
            of,
            problem: Problem::Wrong { found, expected, reason },
        })
    });
    wrong.collect()
}
