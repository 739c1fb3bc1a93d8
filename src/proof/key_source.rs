//! Where the keys that an operator trusts come from.

use std::io;
use std::path::PathBuf;

use super::error::KeyError;
use super::trusted_keys::TrustedKeys;

/// Where a key comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeySource {
    /// A file of OpenPGP keys, or of a minisign key.
    File(PathBuf),
    /// A minisign public key.
    Minisign(String),
}

/// Why keys cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeySourceError {
    /// It is no key.
    #[error("the key {key} cannot be used: {error}")]
    NoKey {
        /// The file, or the key itself.
        key: String,
        /// The reason.
        #[source]
        error: KeyError,
    },
    /// The file cannot be read.
    #[error("the key {path} cannot be read: {error}")]
    Unreadable {
        /// The file.
        path: String,
        /// The system's error.
        #[source]
        error: io::Error,
    },
}

impl KeySource {
    /// A minisign public key as minisign prints it, or else the path of a file. The key begins with the letters of its algorithm
    /// (`Ed`, in base64) and has 56 characters.
    pub fn new(text: String) -> Self {
        let is_minisign = text.starts_with("RW") && text.len() == 56 && !text.contains('.');
        if is_minisign { Self::Minisign(text) } else { Self::File(text.into()) }
    }
}

impl TrustedKeys {
    /// Reads all keys. Blocks.
    pub fn read(sources: &[KeySource]) -> Result<Self, KeySourceError> {
        let mut keys = Self::default();
        for source in sources {
            let (key, added) = match source {
                KeySource::File(path) => {
                    let key = path.display().to_string();
                    let bytes =
                        std::fs::read(path).map_err(|error| KeySourceError::Unreadable { path: key.clone(), error })?;
                    (key, keys.add_file(&bytes))
                }
                KeySource::Minisign(text) => (text.clone(), keys.add_minisign(text)),
            };
            added.map_err(|error| KeySourceError::NoKey { key, error })?;
        }
        Ok(keys)
    }
}
