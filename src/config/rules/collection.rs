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
        errors.extend(keys(collection));
    }
    errors
}

/// Signatures are checked where there are keys, and keys are there to check signatures.
fn keys(collection: &Element<'_>) -> Option<ConfigError> {
    let list = |key| collection.value.find_ref(key).and_then(Value::as_array).unwrap_or_default();
    let has_keys = !list("keys").is_empty();
    let is_signed = list("digest_from").iter().any(|place| place.as_str().is_some_and(|it| it.starts_with("signed-")));
    if has_keys && collection.text("on_missing_digest") == Some("trust-first-use") {
        let problem = Problem::Wrong {
            found: "\"trust-first-use\"".to_owned(),
            expected: "\"refuse\", or no keys".to_owned(),
            reason: "a person who removes the signed documents would decide what is trusted".to_owned(),
        };
        return Some(collection.error("on_missing_digest", problem));
    }
    match collection.value.find_ref("digest_from") {
        Some(_) if is_signed && !has_keys => {
            Some(collection.error("digest_from", Problem::Alone { other: "keys".to_owned() }))
        }
        Some(_) if has_keys && !is_signed => {
            let problem = Problem::Wrong {
                found: "keys".to_owned(),
                expected: "\"signed-sidecar\" or \"signed-sums\" in digest_from".to_owned(),
                reason: "no other place has a signature".to_owned(),
            };
            Some(collection.error("keys", problem))
        }
        _ => None,
    }
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
