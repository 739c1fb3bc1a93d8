//! The Vault client: reads secrets and caches them.

use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::{Map, Value};
use tokio::sync::OnceCell;

use super::error::VaultError;
use super::path::{VaultPath, VaultReference};
use super::session::Session;
use super::settings::VaultSettings;
use super::token::renewal_delay;
use crate::environment::{self, not_blank};
use crate::secret::error::SecretError;
use crate::task;

/// How long a value without a lease is cached: short enough that the next boot sees a rotated secret, long enough that a
/// rack that powers on sends one request.
const TTL: Duration = Duration::from_mins(1);
/// Secrets to cache at most.
const CAPACITY: u64 = 10_000;

/// A cached secret.
#[derive(Clone)]
struct CachedSecret {
    fields: Arc<Map<String, Value>>,
    ttl: Duration,
}

/// A reply of the key-value engine (version 2: the fields are in `data.data`).
#[derive(Deserialize)]
struct Reply {
    #[serde(default)]
    lease_duration: u64,
    data: Versioned,
}

#[derive(Deserialize)]
struct Versioned {
    /// Null if the newest version is deleted.
    data: Option<Map<String, Value>>,
}

/// The Vault client of this process.
pub(in crate::secret) struct Vault {
    settings: VaultSettings,
    session: OnceCell<Arc<Session>>,
    cache: moka::future::Cache<VaultPath, CachedSecret>,
}

impl Vault {
    /// Returns the client that the environment configures. The environment is read once.
    pub(in crate::secret) fn from_environment() -> &'static Self {
        static VAULT: LazyLock<Vault> =
            LazyLock::new(|| Vault::new(VaultSettings::read(environment::variable, std::env::home_dir())));
        &VAULT
    }

    pub(super) fn new(settings: VaultSettings) -> Self {
        let cache = moka::future::Cache::builder().max_capacity(CAPACITY).expire_after(Expiry).build();
        Self { settings, session: OnceCell::new(), cache }
    }

    /// Returns the secret that `MOUNT/PATH#FIELD` refers to.
    pub(in crate::secret) async fn reveal(&self, text: &str) -> Result<String, SecretError> {
        let VaultReference { path, field } = VaultReference::parse(text)
            .map_err(|reason| SecretError::InvalidReference { reference: text.to_owned(), reason })?;
        let found = self.field(&path, field).await;
        found.map_err(|error| SecretError::Vault { path, field: field.to_owned(), source: Box::new(error) })
    }

    async fn field(&self, path: &VaultPath, field: &str) -> Result<String, VaultError> {
        // Concurrent reads of a secret share one request.
        let read = self.cache.try_get_with_by_ref(path, self.read(path)).await;
        let secret = read.map_err(|error| VaultError::clone(&error))?;
        match secret.fields.get(field) {
            Some(Value::String(text)) => not_blank(text).map(str::to_owned).ok_or(VaultError::BlankField),
            Some(value @ (Value::Number(_) | Value::Bool(_))) => Ok(value.to_string()),
            Some(_) => Err(VaultError::NotText),
            None => {
                let mut names: Vec<_> = secret.fields.keys().cloned().collect();
                names.sort_unstable();
                Err(VaultError::NoField(names))
            }
        }
    }

    /// Returns the session. The first call creates it. After a failure the next call tries again: the CA file may appear
    /// later.
    async fn session(&self) -> Result<&Arc<Session>, VaultError> {
        let create = || async {
            let settings = self.settings.clone();
            task::blocking(move || Session::new(settings)).await.map(Arc::new)
        };
        self.session.get_or_try_init(create).await
    }

    async fn read(&self, path: &VaultPath) -> Result<CachedSecret, VaultError> {
        let session = self.session().await?;
        let segments: Vec<&str> = [path.mount.as_str(), "data"].into_iter().chain(path.path.split('/')).collect();
        let body = session.get(&segments).await?;
        let reply: Reply = serde_json::from_slice(&body).map_err(|_| VaultError::BadReply)?;
        let fields = Arc::new(reply.data.data.ok_or(VaultError::NoSecret)?);
        // Dynamic secrets have a lease. They are read again before it ends.
        let ttl = match reply.lease_duration {
            0 => TTL,
            seconds => renewal_delay(Duration::from_secs(seconds)),
        };
        Ok(CachedSecret { fields, ttl })
    }
}

/// Each secret has its own time to live.
struct Expiry;

impl moka::Expiry<VaultPath, CachedSecret> for Expiry {
    fn expire_after_create(&self, _path: &VaultPath, secret: &CachedSecret, _now: Instant) -> Option<Duration> {
        Some(secret.ttl)
    }
}
