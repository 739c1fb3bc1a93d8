//! The result of a recipe: releases of an upstream, and their files.

use super::version::Version;
use crate::proof::Expected;

/// One release of an upstream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    /// Its version.
    pub version: Version,
    /// Whether the upstream says that it is not for general use. `latest` passes over it.
    pub prerelease: bool,
    /// Its files.
    pub files: Vec<UpstreamFile>,
}

/// A file of a release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamFile {
    /// The text that `select` matches: the path or name, and for some recipes a group before it, such as `pxe/kernel`.
    pub label: String,
    /// The name in the mirror, with `/` between directories.
    pub name: String,
    /// Its URL.
    pub url: String,
    /// The length and digests that the upstream announces.
    pub expected: Expected,
    /// The URL of its detached signature, if the upstream publishes one.
    pub signature_url: Option<String>,
    /// Whether it is an archive (`.tar.gz`) of which members are mirrored, rather than the archive itself.
    pub is_archive: bool,
}

impl UpstreamFile {
    /// A file that is mirrored as it is, labelled by its name.
    pub fn new(name: impl Into<String>, url: impl Into<String>, expected: Expected) -> Self {
        let name = name.into();
        Self { label: name.clone(), name, url: url.into(), expected, signature_url: None, is_archive: false }
    }

    /// The same file under another label.
    #[must_use]
    pub fn labelled(self, label: impl Into<String>) -> Self {
        Self { label: label.into(), ..self }
    }

    /// The same file with a detached signature.
    #[must_use]
    pub fn signed_at(self, signature_url: impl Into<String>) -> Self {
        Self { signature_url: Some(signature_url.into()), ..self }
    }
}
