//! Errors of Vault.

use std::error::Error;
use std::sync::Arc;

/// Why Vault does not return a secret. No text contains a part of a secret.
#[derive(Debug, Clone, thiserror::Error)]
pub enum VaultError {
    /// Vault's address is not set.
    #[error("VAULT_ADDR is not set; set it to Vault's URL")]
    NoAddress,
    /// Vault's settings in the environment cannot be used.
    #[error("{0}")]
    Settings(String),
    /// No token or login is set.
    #[error("there is no token; set VAULT_TOKEN, VAULT_TOKEN_FILE or VAULT_K8S_ROLE, or run `vault login`")]
    NoToken,
    /// Vault cannot be reached, or does not answer in time.
    #[error("Vault at {address} cannot be reached: {source}")]
    Unreachable {
        /// Vault's URL.
        address: String,
        /// The underlying error.
        source: Arc<dyn Error + Send + Sync>,
    },
    /// The TLS handshake with Vault failed.
    #[error(
        "TLS with Vault at {address} failed: {reason}; VAULT_CACERT can name a CA, or the certificate of Vault itself"
    )]
    Tls {
        /// Vault's URL.
        address: String,
        /// The problem.
        reason: String,
        /// The underlying error.
        source: Arc<dyn Error + Send + Sync>,
    },
    /// Vault refuses the login.
    #[error("Vault refuses the login with {0}")]
    LoginRefused(String),
    /// Vault denies access to the secret.
    #[error("Vault refuses (403): the token has expired, or its policy does not allow it to read this secret")]
    Forbidden,
    /// The secret does not exist or is deleted.
    #[error("Vault has no such secret, or its newest version is deleted; check that its engine is key-value version 2")]
    NoSecret,
    /// The secret has no such field.
    #[error("the secret has no such field; it has {}", fields(.0))]
    NoField(Vec<String>),
    /// The field has nothing but white space.
    #[error("the field is blank; write the secret into it")]
    BlankField,
    /// The field is a list or an object.
    #[error("the field is not a text")]
    NotText,
    /// Vault returns another error status: it is sealed or overloaded, for example.
    #[error("Vault answered {status}{}", joined(.messages))]
    Refused {
        /// The status.
        status: u16,
        /// Vault's error messages.
        messages: Vec<String>,
    },
    /// The reply is not from Vault's API.
    #[error("the reply is not from Vault; check VAULT_ADDR")]
    BadReply,
}

fn fields(names: &[String]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

fn joined(messages: &[String]) -> String {
    if messages.is_empty() { String::new() } else { format!(": {}", messages.join("; ")) }
}
