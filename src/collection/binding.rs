//! A name bound to a digest.

use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use crate::asset::{AssetName, Digest, SourceUrl};
use crate::catalog::{Asset, DigestSource};
use crate::origin::{Stat, Validator};

/// The digest that an asset of a collection has, and the object that it was found for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binding {
    /// The asset.
    pub name: AssetName,
    /// The object.
    pub source: SourceUrl,
    /// The SHA-256 of its bytes.
    pub sha256: Digest,
    /// Its length in bytes.
    pub size: u64,
    /// Its validator at that time. `None` if its server sends none.
    pub validator: Option<String>,
    /// When it was last modified. `None` if its server does not say.
    pub modified: Option<SystemTime>,
    /// The place that says the digest.
    pub from: DigestSource,
}

/// A binding as it is written.
#[derive(Serialize, Deserialize)]
pub(super) struct Line {
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
}

impl Binding {
    /// The binding of an object that was looked at.
    pub fn new(name: AssetName, source: SourceUrl, stat: &Stat, sha256: Digest, from: DigestSource) -> Self {
        let validator = stat.validator.as_ref().map(|validator| validator.as_str().to_owned());
        Self { name, source, sha256, size: stat.size, validator, modified: stat.last_modified, from }
    }

    /// Whether the object is still the one that the digest was found for. Without a validator, its length and date decide.
    pub fn is_of(&self, stat: &Stat) -> bool {
        let validator = stat.validator.as_ref().map(Validator::as_str);
        self.size == stat.size
            && self.validator.as_deref() == validator
            && (validator.is_some() || self.modified == stat.last_modified)
    }

    /// The asset.
    pub fn asset(&self) -> Asset {
        Asset {
            size: Some(self.size),
            last_modified: self.modified.unwrap_or(SystemTime::UNIX_EPOCH),
            ..Asset::new(self.name.clone(), self.sha256, vec![self.source.clone()])
        }
    }

    pub(super) fn line(&self) -> Line {
        let seconds = |time: SystemTime| time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
        Line {
            name: self.name.to_string(),
            source: Some(self.source.as_str().to_owned()),
            sha256: Some(self.sha256.to_string()),
            size: self.size,
            validator: self.validator.clone(),
            modified: self.modified.map(seconds),
            from: Some(self.from.to_string()),
        }
    }
}

impl Line {
    /// The line that removes the binding of a name.
    pub(super) fn removal(name: &AssetName) -> Self {
        let name = name.to_string();
        Self { name, source: None, sha256: None, size: 0, validator: None, modified: None, from: None }
    }

    /// The name, and its binding, or `None` if it is removed. `None` for a line that cannot be read.
    pub(super) fn read(self) -> Option<(AssetName, Option<Binding>)> {
        let name = AssetName::parse(&self.name).ok()?;
        let Some(source) = self.source else { return Some((name, None)) };
        let binding = Binding {
            name: name.clone(),
            source: source.parse().ok()?,
            sha256: self.sha256?.parse().ok()?,
            size: self.size,
            validator: self.validator,
            modified: self
                .modified
                .and_then(|seconds| SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds))),
            from: self.from?.parse().ok()?,
        };
        Some((name, Some(binding)))
    }
}
