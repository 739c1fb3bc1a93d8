//! Errors of reading secrets. No text contains a part of a secret.

use std::io;
use std::sync::Arc;

use super::vault::{VaultError, VaultPath};

/// Why a secret cannot be read.
#[derive(Debug, Clone, thiserror::Error)]
pub enum SecretError {
    /// The environment variable is not set, is blank, or is not UTF-8.
    #[error("the environment variable {0} is not set or is blank")]
    NotSet(String),
    /// The file has nothing but white space.
    #[error("the file {0} is blank; write the secret into it")]
    Blank(String),
    /// The file cannot be read.
    #[error("the file {path} cannot be read: {source}")]
    Unreadable {
        /// The file.
        path: String,
        /// The system's error.
        source: Arc<io::Error>,
    },
    /// The text after `vault:` is not a reference to a secret.
    #[error("vault:{reference} is not a valid reference: {reason}; write vault:MOUNT/PATH#FIELD")]
    InvalidReference {
        /// The text after `vault:`.
        reference: String,
        /// The problem.
        reason: &'static str,
    },
    /// Vault does not return the secret.
    #[error("vault:{path}#{field}: {source}")]
    Vault {
        /// Mount and path.
        path: VaultPath,
        /// The field.
        field: String,
        /// Why Vault does not return it.
        source: Box<VaultError>,
    },
    /// The secret is in Vault, but this setting allows only local secrets.
    #[error("a secret in Vault cannot be used here; use env: or file:")]
    NotLocal,
}
