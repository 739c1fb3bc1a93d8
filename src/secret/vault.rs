//! `HashiCorp` Vault and `OpenBao`: secrets of the key-value engine, version 2.
//!
//! `settings` come from the environment, under the names of Vault's own tools. `session` authenticates, `client` reads and
//! caches values.

mod client;
mod error;
mod path;
mod session;
mod settings;
#[cfg(test)]
mod tests;
mod token;

pub(super) use client::Vault;
pub use error::VaultError;
pub use path::VaultPath;
pub(super) use path::VaultReference;
