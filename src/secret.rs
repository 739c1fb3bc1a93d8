//! Secrets: texts that are never shown, inline in the settings or in the environment, a file, or Vault.
//!
//! The room does not know its users. Errors name the secret's reference and never contain a part of the secret.

mod error;
mod value;
mod vault;

pub use error::SecretError;
pub use value::Secret;
pub use vault::{VaultError, VaultPath};
