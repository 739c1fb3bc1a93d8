//! Paths of secrets in Vault.

use std::fmt;

/// The path of a secret in Vault: the mount of its engine, and the path below the mount.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct VaultPath {
    pub(super) mount: String,
    pub(super) path: String,
}

impl VaultPath {
    /// Parses `MOUNT/PATH`. The error says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let (mount, path) = text.split_once('/').ok_or("/PATH is missing")?;
        if text.split('/').any(|segment| matches!(segment, "" | "." | "..")) {
            return Err("it has an empty, '.' or '..' segment");
        }
        if text.contains(|c: char| c.is_control() || c == '#') {
            return Err("it has a control character or #");
        }
        Ok(Self { mount: mount.to_owned(), path: path.to_owned() })
    }
}

impl fmt::Display for VaultPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.mount, self.path)
    }
}

/// A reference to a field of a secret: `MOUNT/PATH#FIELD`.
pub(in crate::secret) struct VaultReference<'a> {
    pub(super) path: VaultPath,
    pub(super) field: &'a str,
}

impl<'a> VaultReference<'a> {
    /// Parses `MOUNT/PATH#FIELD`. The error says what is wrong with it.
    pub(in crate::secret) fn parse(text: &'a str) -> Result<Self, &'static str> {
        let (path, field) = text.split_once('#').ok_or("#FIELD is missing")?;
        if field.is_empty() {
            return Err("#FIELD is missing");
        }
        Ok(Self { path: VaultPath::parse(path)?, field })
    }
}
