//! Rules of `[[bucket]]`.

use figment::value::Value;

use super::element::{Element, unique};
use crate::config::error::{ConfigError, Problem};

/// Violations of the rules by these buckets.
pub(super) fn check(buckets: &[Element<'_>]) -> Vec<ConfigError> {
    let mut errors = unique(buckets, "name");
    errors.extend(buckets.iter().filter_map(alone));
    errors.extend(buckets.iter().filter_map(without_versions));
    errors
}

/// A key that does nothing without another.
fn alone(bucket: &Element<'_>) -> Option<ConfigError> {
    let is_kms = bucket.text("encryption") == Some("kms");
    let has_key = bucket.text("kms_key").is_some();
    (has_key && !is_kms).then(|| bucket.error("kms_key", Problem::Alone { other: "encryption = \"kms\"".to_owned() }))
}

/// MFA delete of a bucket without versions.
fn without_versions(bucket: &Element<'_>) -> Option<ConfigError> {
    let flag = |key: &str| match bucket.value.find_ref(key) {
        Some(Value::Bool(_, flag)) => Some(*flag),
        _ => None,
    };
    let is_wrong = flag("mfa_delete") == Some(true) && flag("versioning") == Some(false);
    is_wrong.then(|| bucket.error("mfa_delete", Problem::Alone { other: "versioning = true".to_owned() }))
}
