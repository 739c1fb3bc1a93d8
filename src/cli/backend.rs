//! Backends of commands: the running server or, without one, this process. This file holds their differences: what is
//! said on standard error, what is opened, and what has to be closed at the end. All else is [`ApiClient`].

use std::io::ErrorKind;

use super::client::{ApiClient, ClientError};
use super::discover::{Discovery, complete, discover};
use super::format::plain;
use super::local::{self, LocalDepot};
use super::say;
use super::usage_error::UsageError;
use crate::app;
use crate::cache::CacheError;
use crate::config::{Config, Flags};

/// The backend of a command.
pub(super) struct Backend {
    client: ApiClient,
    local: Option<LocalDepot>,
}

impl Backend {
    /// The running server, else the cache of the settings. Fails if there is neither.
    pub(super) async fn cache(flags: &Flags) -> anyhow::Result<Self> {
        let (settings, reason) = match discover(flags).await? {
            Discovery::Server(client) => return Ok(client.into()),
            Discovery::NoServer { settings, reason } => (settings, reason),
        };
        let config = complete(&settings)?;
        let dir = config.cache.dir.clone();
        if let Err(error) = std::fs::metadata(&dir)
            && error.kind() == ErrorKind::NotFound
        {
            anyhow::bail!("{reason}; and there is no cache in {} (cache.dir)", dir.display());
        }
        let backend = Self::open(config, &reason)?;
        say(format_args!("bootdepot: {}; using the cache in {} directly", reason.in_short(), dir.display()));
        Ok(backend)
    }

    /// The running server, else the cache of the settings with the shared catalog as it is now. Makes the cache if there is
    /// none.
    pub(super) async fn cache_to_fill(flags: &Flags) -> anyhow::Result<Self> {
        let (settings, reason) = match discover(flags).await? {
            Discovery::Server(client) => return Ok(client.into()),
            Discovery::NoServer { settings, reason } => (settings, reason),
        };
        let config = app::complete_lenient(*settings).await.map_err(UsageError::new)?;
        for warning in &config.warnings {
            say(format_args!("bootdepot: {}", plain(warning)));
        }
        Self::open(config, &reason)
    }

    /// The running server, else the ledger of boots that the last one left.
    pub(super) async fn ledger(flags: &Flags) -> anyhow::Result<Self> {
        let (settings, reason) = match discover(flags).await? {
            Discovery::Server(client) => return Ok(client.into()),
            Discovery::NoServer { settings, reason } => (settings, reason),
        };
        let dir = complete(&settings)?.cache.dir;
        say(format_args!("bootdepot: {}; reading the ledger in {}", reason.in_short(), dir.display()));
        Ok(local::ledger(&dir)?.into())
    }

    fn open(config: Config, reason: &ClientError) -> anyhow::Result<Self> {
        // A cache that cannot be read is not an empty one.
        let dir = &config.cache.dir;
        if let Err(error) = std::fs::read_dir(dir)
            && error.kind() == ErrorKind::PermissionDenied
        {
            let (reason, dir) = (reason.in_short(), dir.display());
            anyhow::bail!(
                "{reason}; and the cache in {dir} cannot be read: {error}; run this as the user that runs the server"
            );
        }
        // If the cache is locked, a server runs that could not be found: the operator has to know why.
        let opened = LocalDepot::open(config).map_err(|error| match error.downcast_ref() {
            Some(CacheError::Locked { .. }) => anyhow::anyhow!("{error}; {reason}"),
            _ => error,
        });
        let (client, local) = opened?;
        Ok(Self { client, local: Some(local) })
    }

    /// Does some work with the client, then closes what was opened for it.
    pub(super) async fn run<T>(self, work: impl AsyncFnOnce(&ApiClient) -> anyhow::Result<T>) -> anyhow::Result<T> {
        let done = work(&self.client).await;
        if let Some(local) = self.local {
            drop(self.client);
            local.close().await;
        }
        done
    }
}

impl From<ApiClient> for Backend {
    fn from(client: ApiClient) -> Self {
        Self { client, local: None }
    }
}
