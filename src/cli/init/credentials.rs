//! The credentials for the bucket: which there are, how they are asked for, and how they are written. A secret is never written into
//! the settings: they refer to it.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::{Serialize, Serializer};

use super::args::StoreArgs;
use super::console::Console;
use super::dialog::{Choice, Dialog, Question};
use crate::cli::usage_error::UsageError;
use crate::config::ValueKind;
use crate::environment;
use crate::origin::CredentialSource;
use crate::secret::Secret;

const CREDENTIALS: Question = Question { flag: "--credentials", text: "Credentials" };
const ACCESS_KEY_ID: Question = Question { flag: "--access-key-id", text: "Access key ID" };
const SECRET_KEY: Question = Question {
    flag: "--secret-key",
    text: "Secret access key (not shown), or where it is: env:NAME, file:PATH, vault:MOUNT/PATH#FIELD",
};
const PROFILE: Question = Question { flag: "--credentials", text: "Profile of the AWS configuration files" };
const VAULT: Question = Question { flag: "--credentials", text: "Path of the secret in Vault (MOUNT/PATH)" };

/// Each kind with its meaning.
const KINDS: [(&str, &str); 9] = [
    ("env", "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY of the environment"),
    ("keys", "an access key; its secret goes into a file of its own, which only its owner may read"),
    ("profile", "a profile of the AWS configuration files"),
    ("vault", "a secret in HashiCorp Vault or OpenBao"),
    ("web-identity", "a Kubernetes service account"),
    ("instance", "the role of an EC2 instance"),
    ("container", "the role of an ECS or EKS container"),
    ("default", "the AWS chain: the first of these that there is"),
    ("anonymous", "none: the bucket is public"),
];

/// The credentials for the bucket.
#[derive(Debug, Clone)]
pub(super) enum Credentials {
    /// A kind without parameters.
    Plain(String),
    /// A profile of the AWS configuration files.
    Profile(Option<String>),
    /// A secret in Vault.
    Vault(String),
    /// An access key. An inline secret is stored in the file.
    Keys { id: String, secret: Secret, file: PathBuf },
}

impl Credentials {
    /// Takes them from the flags, or asks. A typed secret goes into `file`.
    pub(super) async fn ask(dialog: &mut Dialog, flags: &StoreArgs, file: &Path) -> anyhow::Result<Self> {
        let given = flags.credentials.as_deref().or(flags.access_key_id.as_ref().map(|_| "keys"));
        let has_environment = environment::variable("AWS_ACCESS_KEY_ID").is_some();
        let choices = KINDS.map(|(word, meaning)| Choice::new(word, meaning));
        let (given, parameter) = match given.and_then(|given| given.split_once(':')) {
            Some((kind @ ("profile" | "vault"), parameter)) => (Some(kind), Some(parameter)),
            _ => (given, None),
        };
        let default = if has_environment { "env" } else { "keys" };
        let kind = dialog.choose(CREDENTIALS, given, default, &choices).await?;
        let named = |text: &str| if text.is_empty() { Err("expected a name".to_owned()) } else { Ok(text.to_owned()) };
        match kind.as_str() {
            "profile" if given.is_some() && parameter.is_none() => Ok(Self::Profile(None)),
            "profile" => Ok(Self::Profile(Some(dialog.answer(PROFILE, parameter, Some("default"), named).await?))),
            "vault" => {
                let read = |text: &str| ValueKind::VaultPath.check(text).map(|()| text.to_owned());
                Ok(Self::Vault(dialog.answer(VAULT, parameter, None, read).await?))
            }
            "keys" => {
                let id = dialog.answer(ACCESS_KEY_ID, flags.access_key_id.as_deref(), None, named).await?;
                let secret = match flags.secret_key.as_deref() {
                    Some("-") if !dialog.asks() => first_line().await?,
                    Some("-") | None => typed(&dialog.secret(SECRET_KEY).await?)?,
                    Some(text) => reference(text)?,
                };
                Ok(Self::Keys { id, secret, file: file.to_owned() })
            }
            _ => Ok(Self::Plain(kind)),
        }
    }

    /// The value of `credentials` in the settings.
    pub(super) fn setting(&self) -> toml::Table {
        let mut table = toml::Table::new();
        let mut add = |key: &str, value: &str| drop(table.insert(key.to_owned(), value.into()));
        match self {
            Self::Plain(kind) => add("from", kind),
            Self::Profile(name) => {
                add("from", "profile");
                if let Some(name) = name {
                    add("name", name);
                }
            }
            Self::Vault(path) => {
                add("from", "vault");
                add("path", path);
            }
            Self::Keys { id, secret, file } => {
                add("from", "static");
                add("access_key_id", id);
                let in_file = format!("file:{}", file.display());
                add("secret_access_key", secret.reference().unwrap_or(&in_file));
            }
        }
        table
    }

    /// The secret that has to be stored, and its file.
    pub(super) fn unstored(&self) -> Option<(&Path, &Secret)> {
        match self {
            Self::Keys { secret, file, .. } if secret.reference().is_none() => Some((file, secret)),
            _ => None,
        }
    }

    /// The same credentials for this process, as long as the secret is not stored. `None`: the settings suffice.
    pub(super) fn unstored_source(&self) -> Option<CredentialSource> {
        match self {
            Self::Keys { id, secret, .. } if secret.reference().is_none() => Some(CredentialSource::Static {
                access_key_id: id.clone(),
                secret_access_key: secret.clone(),
                session_token: None,
            }),
            _ => None,
        }
    }

    /// A sentence about what the server needs, so that these credentials work there too.
    pub(super) fn note(&self) -> Option<String> {
        match self {
            Self::Plain(kind) if kind == "env" => Some(
                "the server needs AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in its environment; the packaged service reads \
                 /etc/default/bootdepot"
                    .to_owned(),
            ),
            Self::Profile(_) | Self::Plain(_) | Self::Vault(_) => None,
            Self::Keys { secret, file, .. } => {
                let path = match secret.reference() {
                    None => file.display().to_string(),
                    Some(reference) => reference.strip_prefix("file:")?.to_owned(),
                };
                Some(format!(
                    "the user that runs the server must be able to read {path}; for the packaged service see Credentials in \
                     docs/operating.md (LoadCredential=)"
                ))
            }
        }
    }
}

impl Serialize for Credentials {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.setting().serialize(serializer)
    }
}

/// A typed answer: the secret, or a reference to one.
fn typed(text: &str) -> anyhow::Result<Secret> {
    Secret::check(text).map_err(|reason| UsageError::new(format!("--secret-key: {reason}")))?;
    absolute(Secret::new(text))
}

/// The reference of a flag. The secret itself is refused: everybody on this machine can read command lines.
fn reference(text: &str) -> anyhow::Result<Secret> {
    let secret = typed(text)?;
    if secret.reference().is_none() {
        let reason = "--secret-key takes no secret, because every user of this machine can read command lines; give env:NAME, \
                      file:PATH, vault:MOUNT/PATH#FIELD, or - to read it from standard input";
        return Err(UsageError::new(reason).into());
    }
    Ok(secret)
}

/// The same with an absolute path: the server has another working directory.
fn absolute(secret: Secret) -> anyhow::Result<Secret> {
    match secret.reference().and_then(|reference| reference.strip_prefix("file:")) {
        Some(path) => Ok(Secret::new(format!("file:{}", std::path::absolute(path)?.display()))),
        None => Ok(secret),
    }
}

/// The secret on the first line of standard input, which a terminal does not show.
async fn first_line() -> anyhow::Result<Secret> {
    let line = Console::of_terminal().line("", true).await;
    let line = line.context("cannot read the secret access key from standard input")?.unwrap_or_default();
    if line.is_empty() {
        return Err(
            UsageError::new("standard input has no secret access key on its first line (--secret-key -)").into()
        );
    }
    typed(&line)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(secret: &str) -> Credentials {
        Credentials::Keys { id: "AKIA".to_owned(), secret: Secret::new(secret), file: "/etc/bootdepot/key".into() }
    }

    fn shown(credentials: &Credentials) -> String {
        toml::Value::Table(credentials.setting()).to_string()
    }

    #[test]
    fn typed_secret_is_written_by_reference() {
        let typed = keys("hunter2");
        let setting = shown(&typed);
        assert!(setting.contains("\"file:/etc/bootdepot/key\"") && !setting.contains("hunter2"), "{setting}");
        assert_eq!(typed.unstored().map(|(file, _)| file), Some(Path::new("/etc/bootdepot/key")));
        assert!(typed.unstored_source().is_some() && !format!("{typed:?}").contains("hunter2"));
        let referred = keys("env:KEY");
        assert!(shown(&referred).contains("\"env:KEY\"") && referred.unstored().is_none());
        assert!(referred.unstored_source().is_none(), "the settings suffice");
    }

    #[test]
    fn secret_on_command_line_is_refused() {
        let error = reference("hunter2").unwrap_err().to_string();
        assert!(error.contains("standard input") && !error.contains("hunter2"), "{error}");
        assert_eq!(reference("file:/run/key").unwrap().reference(), Some("file:/run/key"));
        assert!(reference("file:key").unwrap().reference().unwrap().starts_with("file:/"), "absolute");
    }

    #[tokio::test]
    async fn kinds_take_their_parameters() {
        for (given, expected) in [
            ("env", r#"{ from = "env" }"#),
            ("profile", r#"{ from = "profile" }"#),
            ("profile:boot", r#"{ from = "profile", name = "boot" }"#),
            ("vault:kv/s3", r#"{ from = "vault", path = "kv/s3" }"#),
            ("anonymous", r#"{ from = "anonymous" }"#),
        ] {
            let flags = StoreArgs { credentials: Some(given.to_owned()), ..StoreArgs::default() };
            let found = Credentials::ask(&mut Dialog::new(None), &flags, Path::new("/x")).await.unwrap();
            assert_eq!(shown(&found), expected);
        }
        for wrong in ["static", "vault:kv", "env:X"] {
            let flags = StoreArgs { credentials: Some(wrong.to_owned()), ..StoreArgs::default() };
            assert!(Credentials::ask(&mut Dialog::new(None), &flags, Path::new("/x")).await.is_err(), "{wrong}");
        }
    }
}
