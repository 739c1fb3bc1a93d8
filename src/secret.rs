//! Secrets: texts that are never shown, and where they are kept: in the settings, the environment, a file, or Vault.
//!
//! It knows nobody who uses them. What goes wrong is told by where the secret is, and never with a part of it.

mod vault;

use std::fmt;

pub use vault::{VaultError, VaultPath};

use self::vault::Vault;

/// A text that is never shown: `env:NAME`, `file:/path` and `vault:MOUNT/PATH#FIELD` are read when it is used, anything else
/// is the text itself.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

/// Why a secret cannot be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// The variable is not set, or is no text.
    #[error("the environment variable {0} is not set")]
    NotSet(String),
    /// The file cannot be read.
    #[error("the file {path} cannot be read: {reason}")]
    Unreadable {
        /// The file.
        path: String,
        /// The system's words.
        reason: String,
    },
    /// What follows `vault:` leads nowhere.
    #[error("vault:{path} is no place of a secret: {reason}; it is vault:MOUNT/PATH#FIELD")]
    NoReference {
        /// What follows.
        path: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Vault does not give it.
    #[error("vault:{path}#{field}: {error}")]
    Vault {
        /// Mount and path.
        path: VaultPath,
        /// The field.
        field: String,
        /// Why not.
        error: VaultError,
    },
    /// It is wanted where nothing can wait for Vault.
    #[error("a secret of Vault cannot be used here")]
    NotNow,
}

/// Where a secret is.
enum Place<'a> {
    Here(&'a str),
    Environment(&'a str),
    File(&'a str),
    Vault(&'a str),
}

impl Secret {
    /// The secret that `text` names or is.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The secret in the field `field` of what Vault has at `path`.
    pub fn in_vault(path: &VaultPath, field: &str) -> Self {
        Self(format!("vault:{path}#{field}"))
    }

    /// Where it is kept, as it was written: `env:NAME`, `file:/path` or `vault:MOUNT/PATH#FIELD`; nothing where it stands in
    /// the settings themselves.
    pub fn place(&self) -> Option<&str> {
        (!matches!(place(&self.0), Place::Here(_))).then_some(&self.0)
    }

    /// What is wrong with `text` as the place of a secret, as far as can be said without looking.
    pub fn check(text: &str) -> Result<(), &'static str> {
        match place(text) {
            Place::Here("") => Err("it is empty"),
            Place::Environment("") | Place::File("") => Err("a name is missing after the colon"),
            Place::Vault(rest) => vault::reference(rest).map(drop),
            _ => Ok(()),
        }
    }

    /// The secret itself, read anew from the environment or the file where it names one; what Vault said is believed
    /// for a minute, or for most of its lease.
    pub async fn reveal(&self) -> Result<String, SecretError> {
        match place(&self.0) {
            Place::Vault(rest) => Vault::of_the_environment().reveal(rest).await,
            Place::File(path) => {
                let path = path.to_owned();
                // It does not panic; it is aborted only when there is nobody left to tell.
                tokio::task::spawn_blocking(move || read(&path)).await.unwrap_or(Err(SecretError::NotNow))
            }
            _ => self.reveal_now(),
        }
    }

    /// The same where nothing can be waited for. Blocks for reading a file; what is in Vault is [`SecretError::NotNow`].
    pub fn reveal_now(&self) -> Result<String, SecretError> {
        match place(&self.0) {
            Place::Here(text) => Ok(text.to_owned()),
            Place::Environment(name) => std::env::var(name).map_err(|_| SecretError::NotSet(name.to_owned())),
            Place::File(path) => read(path),
            Place::Vault(_) => Err(SecretError::NotNow),
        }
    }
}

fn place(text: &str) -> Place<'_> {
    match text.split_once(':') {
        Some(("env", name)) => Place::Environment(name),
        Some(("file", path)) => Place::File(path),
        Some(("vault", rest)) => Place::Vault(rest),
        _ => Place::Here(text),
    }
}

/// A file without the line ends after its last line, which editors leave there.
fn read(path: &str) -> Result<String, SecretError> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(text.trim_end_matches(['\r', '\n']).to_owned()),
        Err(error) => Err(SecretError::Unreadable { path: path.to_owned(), reason: error.to_string() }),
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_secret_is_the_text_or_where_it_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        std::fs::write(&path, "of a file\r\n").unwrap();
        for (text, secret) in [
            ("hunter2".to_owned(), "hunter2".to_owned()),
            ("a:b".to_owned(), "a:b".to_owned()),
            ("env:CARGO_PKG_NAME".to_owned(), "bootdepot".to_owned()),
            (format!("file:{}", path.display()), "of a file".to_owned()),
        ] {
            let given = Secret::new(text.as_str());
            assert_eq!(given.reveal().await.unwrap(), secret);
            assert_eq!(given.reveal_now().unwrap(), secret);
            assert_eq!(format!("{given:?}"), "Secret(…)");
        }
    }

    #[tokio::test]
    async fn what_is_missing_is_named_by_its_place() {
        let message = async |text: &str| Secret::new(text).reveal().await.unwrap_err().to_string();
        assert_eq!(message("env:NO_SUCH_THING").await, "the environment variable NO_SUCH_THING is not set");
        assert_eq!(
            message("file:/nowhere/key").await,
            "the file /nowhere/key cannot be read: No such file or directory (os error 2)"
        );
        assert_eq!(
            message("vault:kv/x").await,
            "vault:kv/x is no place of a secret: #FIELD is missing; it is vault:MOUNT/PATH#FIELD"
        );
        assert_eq!(Secret::new("vault:kv/x#y").reveal_now(), Err(SecretError::NotNow));
    }

    #[test]
    fn a_place_is_checked_without_looking() {
        for good in ["x", "env:X", "file:/x", "vault:kv/a/b#c", "vault:kv/a b#c d"] {
            assert_eq!(Secret::check(good), Ok(()), "{good}");
        }
        for bad in [
            "",
            "env:",
            "file:",
            "vault:",
            "vault:kv",
            "vault:kv/x",
            "vault:kv#f",
            "vault:kv/x#",
            "vault:kv//x#f",
            "vault:kv/../x#f",
        ] {
            assert!(Secret::check(bad).is_err(), "{bad}");
        }
    }
}
