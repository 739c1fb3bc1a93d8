//! `HashiCorp` Vault and `OpenBao`: secrets of the key-value engine, version 2.
//!
//! `session` is who we are to it, `settings` what the environment says of it, in the names that Vault's own tools use.
//! Here values are read, and believed for a while.

mod session;
mod settings;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::{Map, Value};
use tokio::sync::OnceCell;

use self::session::Session;
use self::settings::VaultSettings;
use super::SecretError;

/// How long a value without a lease is believed: short enough that a rotated secret is seen by the next boot, long enough
/// that a rack which powers on asks once.
const BELIEVED: Duration = Duration::from_mins(1);
/// Secrets that are remembered at a time.
const REMEMBERED: u64 = 10_000;

/// Where a secret is in Vault: the mount of its engine, and the path below that.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct VaultPath {
    mount: String,
    path: String,
}

impl VaultPath {
    /// Takes `MOUNT/PATH` apart. The error says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let (mount, path) = text.split_once('/').ok_or("/PATH is missing")?;
        if text.split('/').any(|segment| matches!(segment, "" | "." | "..")) {
            return Err("it has an empty segment, or one of dots");
        }
        if text.contains(|c: char| c.is_control() || c == '#') {
            return Err("it has a character that no path has");
        }
        Ok(Self { mount: mount.to_owned(), path: path.to_owned() })
    }
}

impl fmt::Display for VaultPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.mount, self.path)
    }
}

/// The path and the field that `MOUNT/PATH#FIELD` names.
pub(super) fn reference(text: &str) -> Result<(VaultPath, &str), &'static str> {
    let (path, field) = text.split_once('#').ok_or("#FIELD is missing")?;
    if field.is_empty() {
        return Err("#FIELD is missing");
    }
    Ok((VaultPath::parse(path)?, field))
}

/// Why Vault does not give a secret. None of the texts has a part of one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VaultError {
    /// Nobody says where Vault is.
    #[error("VAULT_ADDR is not set; it is Vault's URL")]
    NoAddress,
    /// The environment's settings of Vault cannot be used.
    #[error("{0}")]
    Settings(String),
    /// Nobody says who we are.
    #[error("there is no token; set VAULT_TOKEN, VAULT_TOKEN_FILE or VAULT_K8S_ROLE, or run `vault login`")]
    NoToken,
    /// It cannot be reached, or fell silent.
    #[error("Vault at {address} cannot be reached: {reason}")]
    Unreachable {
        /// Its URL.
        address: String,
        /// The system's words.
        reason: String,
    },
    /// It does not let us in.
    #[error("Vault refuses the login with {0}")]
    LoginRefused(String),
    /// It does not let us read this.
    #[error("Vault refuses (403): the token has expired, or its policy does not let it read this")]
    Forbidden,
    /// There is no such secret, or it was deleted.
    #[error("Vault has no such secret, or its newest version is deleted; is it of the key-value engine, version 2?")]
    NoSecret,
    /// The secret has no such field.
    #[error("the secret has no such field; it has {}", fields(.0))]
    NoField(Vec<String>),
    /// The field is a list or a table.
    #[error("the field is not a text")]
    NotText,
    /// It is sealed, overloaded or in other trouble.
    #[error("Vault answered {status}{}", words(.said))]
    Refused {
        /// The status.
        status: u16,
        /// What it said.
        said: Vec<String>,
    },
    /// The answer is none of Vault's.
    #[error("Vault's answer is not understood; is VAULT_ADDR that of Vault?")]
    NotUnderstood,
}

fn fields(names: &[String]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

fn words(said: &[String]) -> String {
    if said.is_empty() { String::new() } else { format!(": {}", said.join("; ")) }
}

/// A secret, and how long it is believed.
#[derive(Clone)]
struct Known {
    fields: Arc<Map<String, Value>>,
    believed: Duration,
}

/// What the key-value engine answers (version 2: the fields are in the `data` of the `data`).
#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    lease_duration: u64,
    data: Versioned,
}

#[derive(Deserialize)]
struct Versioned {
    /// Null where the newest version is deleted.
    data: Option<Map<String, Value>>,
}

/// Vault, as one process knows it.
pub(super) struct Vault {
    settings: VaultSettings,
    session: OnceCell<Arc<Session>>,
    known: moka::future::Cache<VaultPath, Known>,
}

impl Vault {
    /// The Vault that the environment of this process names, as it was when it was first asked for.
    pub(super) fn of_the_environment() -> &'static Self {
        static VAULT: LazyLock<Vault> =
            LazyLock::new(|| Vault::new(VaultSettings::read(|name| std::env::var(name).ok(), std::env::home_dir())));
        &VAULT
    }

    fn new(settings: VaultSettings) -> Self {
        let known = moka::future::Cache::builder().max_capacity(REMEMBERED).expire_after(Expiry).build();
        Self { settings, session: OnceCell::new(), known }
    }

    /// The secret that `MOUNT/PATH#FIELD` names.
    pub(super) async fn reveal(&self, text: &str) -> Result<String, SecretError> {
        let (path, field) =
            reference(text).map_err(|reason| SecretError::NoReference { path: text.to_owned(), reason })?;
        self.field(&path, field).await.map_err(|error| SecretError::Vault { path, field: field.to_owned(), error })
    }

    async fn field(&self, path: &VaultPath, field: &str) -> Result<String, VaultError> {
        // One request for all who want a secret at a time.
        let asked = self.known.try_get_with_by_ref(path, self.read(path)).await;
        let known = asked.map_err(|error| VaultError::clone(&error))?;
        match known.fields.get(field) {
            Some(Value::String(text)) => Ok(text.clone()),
            Some(value @ (Value::Number(_) | Value::Bool(_))) => Ok(value.to_string()),
            Some(_) => Err(VaultError::NotText),
            None => {
                let mut names: Vec<_> = known.fields.keys().cloned().collect();
                names.sort_unstable();
                Err(VaultError::NoField(names))
            }
        }
    }

    /// The session, begun by whoever is first. Where that fails it is tried anew: the certificates may come later.
    async fn session(&self) -> Result<&Arc<Session>, VaultError> {
        let begin = || async {
            let settings = self.settings.clone();
            let begun = tokio::task::spawn_blocking(move || Session::new(settings)).await;
            begun.unwrap_or_else(|error| Err(VaultError::Settings(error.to_string()))).map(Arc::new)
        };
        self.session.get_or_try_init(begin).await
    }

    async fn read(&self, path: &VaultPath) -> Result<Known, VaultError> {
        let session = self.session().await?;
        let segments: Vec<&str> = [path.mount.as_str(), "data"].into_iter().chain(path.path.split('/')).collect();
        let body = session.get(&segments).await?;
        let answer: Answer = serde_json::from_slice(&body).map_err(|_| VaultError::NotUnderstood)?;
        let fields = Arc::new(answer.data.data.ok_or(VaultError::NoSecret)?);
        // Engines that make secrets on the spot lease them; they are read again before that ends.
        let believed = match answer.lease_duration {
            0 => BELIEVED,
            seconds => session::most_of(Duration::from_secs(seconds)),
        };
        Ok(Known { fields, believed })
    }
}

/// Each secret is believed for its own time.
struct Expiry;

impl moka::Expiry<VaultPath, Known> for Expiry {
    fn expire_after_create(&self, _path: &VaultPath, known: &Known, _now: Instant) -> Option<Duration> {
        Some(known.believed)
    }
}
