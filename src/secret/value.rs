//! A secret text, or a reference to one.

use std::fmt;
use std::sync::Arc;

use super::error::SecretError;
use super::vault::{Vault, VaultPath, VaultReference};
use crate::environment::{self, not_blank};
use crate::task;

/// A text that is never shown. `env:NAME`, `file:/path` and `vault:MOUNT/PATH#FIELD` are references that are read on each
/// use, and returned without surrounding white space. Any other text is the secret itself.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

/// Where a secret is.
enum Location<'a> {
    Inline(&'a str),
    Environment(&'a str),
    File(&'a str),
    Vault(&'a str),
}

impl Secret {
    /// The secret that `text` is or refers to.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The secret in the field `field` of the Vault secret at `path`.
    pub fn in_vault(path: &VaultPath, field: &str) -> Self {
        Self(format!("vault:{path}#{field}"))
    }

    /// Returns the reference as written: `env:NAME`, `file:/path` or `vault:MOUNT/PATH#FIELD`. `None` for an inline secret.
    pub fn reference(&self) -> Option<&str> {
        (!matches!(locate(&self.0), Location::Inline(_))).then_some(&self.0)
    }

    /// Checks the form of a secret or reference without reading it. The error says what is wrong.
    pub fn check(text: &str) -> Result<(), &'static str> {
        match locate(text) {
            Location::Inline(text) if not_blank(text).is_none() => Err("it is empty"),
            Location::Environment("") | Location::File("") => Err("a name is missing after the colon"),
            Location::Vault(rest) => VaultReference::parse(rest).map(drop),
            _ => Ok(()),
        }
    }

    /// Returns the secret. Reads variables and files each time. A value from Vault is cached for a minute, or for two
    /// thirds of its lease.
    pub async fn reveal(&self) -> Result<String, SecretError> {
        match locate(&self.0) {
            Location::Vault(rest) => Vault::from_environment().reveal(rest).await,
            Location::File(path) => {
                let path = path.to_owned();
                task::blocking(move || read(&path)).await
            }
            _ => self.reveal_local(),
        }
    }

    /// Returns the secret without network access. Blocks to read a file. Fails with [`SecretError::NotLocal`] if the secret
    /// is in Vault.
    pub fn reveal_local(&self) -> Result<String, SecretError> {
        match locate(&self.0) {
            Location::Inline(text) => Ok(text.to_owned()),
            Location::Environment(name) => {
                environment::variable(name).ok_or_else(|| SecretError::NotSet(name.to_owned()))
            }
            Location::File(path) => read(path),
            Location::Vault(_) => Err(SecretError::NotLocal),
        }
    }
}

fn locate(text: &str) -> Location<'_> {
    match text.split_once(':') {
        Some(("env", name)) => Location::Environment(name),
        Some(("file", path)) => Location::File(path),
        Some(("vault", rest)) => Location::Vault(rest),
        _ => Location::Inline(text),
    }
}

/// Reads a file without surrounding white space: editors add a line end.
fn read(path: &str) -> Result<String, SecretError> {
    match std::fs::read_to_string(path) {
        Ok(text) => not_blank(&text).map(str::to_owned).ok_or_else(|| SecretError::Blank(path.to_owned())),
        Err(error) => Err(SecretError::Unreadable { path: path.to_owned(), source: Arc::new(error) }),
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
    async fn inline_and_referenced_secrets_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        std::fs::write(&path, " file secret \r\n").unwrap();
        for (text, secret) in [
            ("hunter2".to_owned(), "hunter2".to_owned()),
            ("a:b".to_owned(), "a:b".to_owned()),
            ("env:CARGO_PKG_NAME".to_owned(), "bootdepot".to_owned()),
            (format!("file:{}", path.display()), "file secret".to_owned()),
        ] {
            let given = Secret::new(text.as_str());
            assert_eq!(given.reveal().await.unwrap(), secret);
            assert_eq!(given.reveal_local().unwrap(), secret);
            assert_eq!(format!("{given:?}"), "Secret(…)");
        }
    }

    #[tokio::test]
    async fn missing_secret_names_reference() {
        let message = async |text: &str| Secret::new(text).reveal().await.unwrap_err().to_string();
        assert_eq!(message("env:NO_SUCH_THING").await, "the environment variable NO_SUCH_THING is not set or is blank");
        let blank = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(blank.path(), " \n").unwrap();
        let path = blank.path().display();
        assert_eq!(
            message(&format!("file:{path}")).await,
            format!("the file {path} is blank; write the secret into it")
        );
        assert_eq!(
            message("file:/nowhere/key").await,
            "the file /nowhere/key cannot be read: No such file or directory (os error 2)"
        );
        assert_eq!(
            message("vault:kv/x").await,
            "vault:kv/x is not a valid reference: #FIELD is missing; write vault:MOUNT/PATH#FIELD"
        );
        assert!(matches!(Secret::new("vault:kv/x#y").reveal_local(), Err(SecretError::NotLocal)));
    }

    #[test]
    fn malformed_references_are_refused() {
        for good in ["x", "env:X", "file:/x", "vault:kv/a/b#c", "vault:kv/a b#c d"] {
            assert_eq!(Secret::check(good), Ok(()), "{good}");
        }
        for bad in [
            "",
            " \n",
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
