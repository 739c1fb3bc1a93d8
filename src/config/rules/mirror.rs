//! Rules of `[[mirror]]`.

use figment::value::Value;

use super::element::{Element, unique};
use crate::config::error::{ConfigError, Problem};
use crate::supply::mirror::Selection;

/// Placeholders of `asset`.
const PLACEHOLDERS: [&str; 3] = ["{mirror}", "{version}", "{file}"];

/// Violations of the rules by these mirrors.
pub(super) fn check(mirrors: &[Element<'_>]) -> Vec<ConfigError> {
    let mut errors = unique(mirrors, "name");
    for mirror in mirrors {
        errors.extend(source(mirror));
        errors.extend(proofs(mirror));
        errors.extend(names(mirror));
        errors.extend(retention(mirror));
    }
    errors
}

/// Rules about the source of files.
fn source(mirror: &Element<'_>) -> Vec<ConfigError> {
    let has = |key: &str| mirror.value.find_ref(key).is_some();
    let missing = |key: &str, expected: &str| mirror.error(key, Problem::Missing { expected: expected.to_owned() });
    let mut errors = Vec::new();
    match mirror.text("recipe") {
        Some("list") => {
            if !has("version") {
                errors.push(missing("version", "the version of the files (recipe \"list\")"));
            }
            if !has("files") {
                errors.push(missing("files", "the files, each with its url and digest (recipe \"list\")"));
            }
        }
        // The schema check has reported a missing recipe.
        None => {}
        Some(recipe) => {
            if !has("url") {
                errors.push(missing("url", "the URL of the upstream's document or directory"));
            }
            for key in ["version", "files"].into_iter().filter(|key| has(key)) {
                errors.push(wrong(mirror, key, "this key", "none", format!("recipe {recipe:?} reads it from url")));
            }
            if mirror.text("url") == Some("-") && recipe != "coreos-stream" {
                let reason = "only coreos-stream is read from standard input".to_owned();
                errors.push(wrong(mirror, "url", "\"-\"", "a URL", reason));
            }
        }
    }
    errors
}

/// Rules about the proofs of files.
fn proofs(mirror: &Element<'_>) -> Vec<ConfigError> {
    let keys = mirror.value.find_ref("keys").and_then(Value::as_array).unwrap_or_default();
    let skips_tls = matches!(mirror.value.find_ref("skip_tls_verify"), Some(Value::Bool(_, true)));
    match mirror.text("require") {
        Some("signature") if keys.is_empty() => {
            vec![mirror.error("require", Problem::Alone { other: "keys".to_owned() })]
        }
        Some("tls") if skips_tls => {
            let reason = "with skip_tls_verify nothing would prove the files".to_owned();
            vec![wrong(mirror, "require", "\"tls\"", "\"digest\" or \"signature\"", reason)]
        }
        _ => Vec::new(),
    }
}

/// Rules about old versions.
fn retention(mirror: &Element<'_>) -> Option<ConfigError> {
    let to = mirror.text("to").filter(|_| mirror.value.find_ref("keep").is_some())?;
    let has_prefix = to.trim_end_matches('/').trim_start_matches("s3://").contains('/');
    (!has_prefix).then(|| {
        let reason = "keep deletes old versions below it, and may only delete below a prefix of this mirror".to_owned();
        wrong(mirror, "to", &format!("{to:?}"), "a bucket and a prefix such as \"s3://harmony-assets/scos\"", reason)
    })
}

/// Rules about names and globs.
fn names(mirror: &Element<'_>) -> Vec<ConfigError> {
    let mut errors = Vec::new();
    if let Some(asset) = mirror.text("asset") {
        let rest = PLACEHOLDERS.iter().fold(asset.to_owned(), |rest, placeholder| rest.replace(placeholder, ""));
        let problem = if !asset.contains("{file}") || !asset.contains("{version}") {
            Some("without them, files of different releases would have the same name".to_owned())
        } else {
            rest.contains(['{', '}']).then(|| "no other placeholder is known".to_owned())
        };
        if let Some(reason) = problem {
            let expected = "a name with {version} and {file}, and {mirror} if you like";
            errors.push(wrong(mirror, "asset", &format!("{asset:?}"), expected, reason));
        }
    }
    let globs = mirror.value.find_ref("select").and_then(Value::as_array).unwrap_or_default();
    for (index, glob) in globs.iter().enumerate() {
        let Some(text) = glob.as_str() else { continue };
        if Selection::new("", vec![text.to_owned()]).is_err() {
            let key = mirror.path.key("select").index(index);
            let problem = Problem::Wrong {
                found: format!("{text:?}"),
                expected: "a glob such as \"pxe/*\"".to_owned(),
                reason: String::new(),
            };
            let of = crate::config::check::name_of(mirror.value);
            errors.push(ConfigError { place: mirror.layer.place(&key), key, of, problem });
        }
    }
    errors
}

fn wrong(mirror: &Element<'_>, key: &str, found: &str, expected: &str, reason: String) -> ConfigError {
    let problem = Problem::Wrong { found: found.to_owned(), expected: expected.to_owned(), reason };
    mirror.error(key, problem)
}
