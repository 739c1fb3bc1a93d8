//! A line of the record of bindings, as JSON.

use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use super::binding::Binding;
use super::object_version::ObjectVersion;
use crate::asset::AssetName;

/// A line. One without a source removes the binding of its name.
#[derive(Serialize, Deserialize)]
struct Line {
    name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    source: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sha256: Option<String>,
    #[serde(default)]
    size: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    validator: Option<String>,
    /// Seconds since the Unix epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    modified: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    from: Option<String>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    unverified: bool,
}

/// The statement of a line.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Entry {
    /// A name is bound.
    Bound(Box<Binding>),
    /// A name is bound no more.
    Removed(AssetName),
    /// A name is bound in a way that this version cannot read.
    Unreadable(AssetName),
    /// The beginning of a line whose write was interrupted. Nothing depended on it yet.
    Torn,
    /// Anything else: what it said is lost.
    Damaged,
}

/// The line of a binding.
pub(super) fn of_binding(binding: &Binding) -> String {
    let seconds = |time: SystemTime| time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    text(&Line {
        name: binding.name.to_string(),
        source: Some(binding.source.as_str().to_owned()),
        sha256: Some(binding.sha256.to_string()),
        size: binding.object.size,
        validator: binding.object.validator.clone(),
        modified: binding.object.modified.map(seconds),
        from: Some(binding.from.to_string()),
        unverified: !binding.verified,
    })
}

/// The line that removes the binding of a name.
pub(super) fn of_removal(name: &AssetName) -> String {
    let name = name.to_string();
    text(&Line {
        name,
        source: None,
        sha256: None,
        size: 0,
        validator: None,
        modified: None,
        from: None,
        unverified: false,
    })
}

/// Reads a line.
pub(super) fn read(line: &[u8]) -> Entry {
    let name = |text: &str| AssetName::parse(text).ok();
    if let Ok(line) = serde_json::from_slice::<Line>(line) {
        let Some(name) = name(&line.name) else { return Entry::Damaged };
        if line.source.is_none() && line.sha256.is_none() {
            return Entry::Removed(name);
        }
        return line.binding(name.clone()).map_or(Entry::Unreadable(name), |binding| Entry::Bound(Box::new(binding)));
    }
    if let Ok(value) = serde_json::from_slice::<serde_json::Value>(line) {
        return value["name"].as_str().and_then(name).map_or(Entry::Damaged, Entry::Unreadable);
    }
    // After a power failure a file may be longer than what was written to it.
    let written = line.iter().position(|byte| *byte == 0).unwrap_or(line.len());
    let is_torn = line[written..].iter().all(|byte| *byte == 0)
        && line[..written].first().is_none_or(|first| *first == b'{' && line[..written].last() != Some(&b'}'));
    if is_torn { Entry::Torn } else { Entry::Damaged }
}

impl Line {
    fn binding(self, name: AssetName) -> Option<Binding> {
        let modified =
            self.modified.and_then(|seconds| SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds)));
        Some(Binding {
            name,
            source: self.source?.parse().ok()?,
            sha256: self.sha256?.parse().ok()?,
            object: ObjectVersion { size: self.size, validator: self.validator, modified },
            from: self.from?.parse().ok()?,
            verified: !self.unverified,
        })
    }
}

fn text(line: &Line) -> String {
    // Texts and numbers only.
    serde_json::to_string(line).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damaged_lines_are_told_from_torn_ones() {
        let whole = r#"{"name":"os/kernel","source":"s3://b/k","sha256":"00","size":1,"from":"sidecar"}"#;
        assert!(
            matches!(read(whole.as_bytes()), Entry::Unreadable(name) if name.as_str() == "os/kernel"),
            "a short digest"
        );
        for torn in [&whole.as_bytes()[..20], b"{", b"", b"\0\0\0", b"{\"name\":\"a\0\0"] {
            assert_eq!(read(torn), Entry::Torn, "{torn:?}");
        }
        for damaged in
            [&b"\xff"[..], b"text", b"{\"name\":\"os/ker\xff\"}", b"[]", b"{\"name\":\"../x\"}", b"{\"na\0\0\"}"]
        {
            assert_eq!(read(damaged), Entry::Damaged, "{damaged:?}");
        }
    }

    #[test]
    fn line_of_other_version_names_its_asset() {
        let line = br#"{"name":"os/kernel","source":"s3://b/k","sha256":"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","from":"later-place"}"#;
        assert_eq!(read(line), Entry::Unreadable(AssetName::parse("os/kernel").unwrap()));
        let line = br#"{"name":"os/kernel","source":["s3://b/k"]}"#;
        assert_eq!(read(line), Entry::Unreadable(AssetName::parse("os/kernel").unwrap()));
        assert_eq!(read(br#"{"name":"os/kernel"}"#), Entry::Removed(AssetName::parse("os/kernel").unwrap()));
    }
}
