//! Who we are to an S3 origin: credentials, loaded when they are needed and renewed before they expire.

use std::collections::HashMap;
use std::error::Error as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use reqsign_aws_v4::{
    AssumeRoleWithWebIdentityCredentialProvider, Credential, DefaultCredentialProvider, ECSCredentialProvider,
    EnvCredentialProvider, IMDSv2CredentialProvider, ProfileCredentialProvider,
};
use reqsign_core::{Context, Env, Error, ProvideCredential, ProvideCredentialDyn, SigningCredential};
use tokio::sync::Mutex;

use super::{Credentials, OriginError};
use crate::secret::{Secret, SecretError, VaultError, VaultPath};

/// How long credentials that name no expiry are used before they are read again: files and variables may be rotated.
const KEEP_UNDATED: Duration = Duration::from_mins(1);

/// How long a failure is remembered, so that the parts of many fills do not ask a metadata service that is not there one
/// after the other.
const KEEP_FAILURE: Duration = Duration::from_secs(5);

type Provider = Box<dyn ProvideCredentialDyn<Credential = Credential>>;

/// The credentials of one origin.
pub(super) struct Keyring {
    provider: Provider,
    context: Context,
    /// What was looked at, for the error.
    tried: &'static str,
    /// Held while credentials are loaded: one load serves all who wait.
    kept: Mutex<Option<Kept>>,
}

struct Kept {
    outcome: Result<Credential, String>,
    since: Instant,
}

impl Keyring {
    /// The keyring for these settings; none for an anonymous origin. Credential services are asked by way of `context`.
    pub(super) fn new(credentials: Credentials, context: Context) -> Option<Self> {
        let (provider, tried): (Provider, _) = match credentials {
            Credentials::Anonymous => return None,
            Credentials::Default => (
                // Programs named in a profile are not run.
                Box::new(DefaultCredentialProvider::builder().no_process().build()),
                "there are none in the environment, the profile files, a web identity, container or instance metadata",
            ),
            Credentials::Env => {
                (Box::new(EnvCredentialProvider::new()), "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not both set")
            }
            Credentials::Static { access_key_id, secret_access_key, session_token } => {
                (Box::new(Given { access_key_id, secret_access_key, session_token }), "none are given")
            }
            Credentials::Vault { path } => (Box::new(InVault { path }), "Vault has none"),
            Credentials::Profile { name, file } => {
                (profile(name, file), "the profile is in neither the credentials nor the config file, or names no keys")
            }
            Credentials::WebIdentity => (
                Box::new(AssumeRoleWithWebIdentityCredentialProvider::new()),
                "AWS_WEB_IDENTITY_TOKEN_FILE and AWS_ROLE_ARN are not both set",
            ),
            Credentials::Instance => {
                (Box::new(IMDSv2CredentialProvider::new()), "AWS_EC2_METADATA_DISABLED says not to ask")
            }
            Credentials::Container => (
                Box::new(ECSCredentialProvider::new()),
                "neither AWS_CONTAINER_CREDENTIALS_RELATIVE_URI nor AWS_CONTAINER_CREDENTIALS_FULL_URI is set",
            ),
        };
        Some(Self { provider, context, tried, kept: Mutex::new(None) })
    }

    /// The credentials to sign with now.
    pub(super) async fn current(&self, origin: &str) -> Result<Credential, OriginError> {
        let mut kept = self.kept.lock().await;
        match &*kept {
            Some(kept) if kept.is_fresh() => kept.outcome.clone(),
            _ => self.load(&mut kept).await,
        }
        .map_err(|reason| OriginError::Credentials { origin: origin.to_owned(), reason })
    }

    /// Other credentials than `refused`, if there are any by now: they may have been rotated since they were read.
    pub(super) async fn renewed(&self, refused: &Credential) -> Option<Credential> {
        let mut kept = self.kept.lock().await;
        let is_other = |found: &Credential| {
            found.access_key_id != refused.access_key_id
                || found.secret_access_key != refused.secret_access_key
                || found.session_token != refused.session_token
        };
        match &*kept {
            // Somebody else has renewed them meanwhile.
            Some(Kept { outcome: Ok(found), .. }) if is_other(found) => Some(found.clone()),
            // Just read: what is refused now will be refused again.
            Some(found) if found.since.elapsed() < KEEP_FAILURE => None,
            _ => self.load(&mut kept).await.ok().filter(is_other),
        }
    }

    /// Makes the kept credentials look as if they were read a while ago.
    #[cfg(test)]
    pub(super) async fn age(&self) {
        if let Some(kept) = &mut *self.kept.lock().await {
            kept.since -= KEEP_FAILURE;
        }
    }

    async fn load(&self, kept: &mut Option<Kept>) -> Result<Credential, String> {
        let outcome = match self.provider.provide_credential_dyn(&self.context).await {
            Ok(Some(found)) if found.access_key_id.is_empty() || found.secret_access_key.is_empty() => {
                Err("the access key's id or its secret is empty".to_owned())
            }
            Ok(Some(found)) => Ok(found),
            Ok(None) => Err(self.tried.to_owned()),
            Err(error) => Err(words(&error)),
        };
        *kept = Some(Kept { outcome: outcome.clone(), since: Instant::now() });
        outcome
    }
}

impl Kept {
    fn is_fresh(&self) -> bool {
        match &self.outcome {
            // Not after two minutes before they expire.
            Ok(found) if found.expires_in.is_some() => found.is_valid(),
            Ok(_) => self.since.elapsed() < KEEP_UNDATED,
            Err(_) => self.since.elapsed() < KEEP_FAILURE,
        }
    }
}

fn profile(name: Option<String>, file: Option<PathBuf>) -> Provider {
    let mut keys = ProfileCredentialProvider::new();
    if let Some(file) = file {
        keys = keys.with_credentials_file(file.to_string_lossy());
    }
    let mut chain =
        DefaultCredentialProvider::builder().no_env().no_web_identity().no_process().no_ecs().no_imds().profile(keys);
    if let Some(name) = name {
        chain = chain.with_profile(name);
    }
    Box::new(chain.build())
}

/// The error with its causes, on one line.
fn words(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text = format!("{text}: {inner_text}");
        }
        cause = inner.source();
    }
    text
}

/// Credentials of the settings.
#[derive(Debug)]
struct Given {
    access_key_id: String,
    secret_access_key: Secret,
    session_token: Option<Secret>,
}

impl ProvideCredential for Given {
    type Credential = Credential;

    async fn provide_credential(&self, _context: &Context) -> Result<Option<Credential>, Error> {
        let secret_access_key = reveal(&self.secret_access_key).await?;
        let session_token = match &self.session_token {
            Some(token) => Some(reveal(token).await?),
            None => None,
        };
        let access_key_id = self.access_key_id.clone();
        Ok(Some(Credential { access_key_id, secret_access_key, session_token, expires_in: None }))
    }
}

async fn reveal(secret: &Secret) -> Result<String, Error> {
    let revealed = secret.reveal().await;
    revealed.map_err(|error| Error::config_invalid(format!("the secret cannot be read: {error}")))
}

/// Credentials of a secret in Vault.
#[derive(Debug)]
struct InVault {
    path: VaultPath,
}

impl ProvideCredential for InVault {
    type Credential = Credential;

    async fn provide_credential(&self, _context: &Context) -> Result<Option<Credential>, Error> {
        let field = |name| Secret::in_vault(&self.path, name);
        let access_key_id = reveal(&field("access_key_id")).await?;
        let secret_access_key = reveal(&field("secret_access_key")).await?;
        let session_token = match field("session_token").reveal().await {
            Ok(token) => Some(token),
            // Keys that last have none.
            Err(SecretError::Vault { error: VaultError::NoField(_), .. }) => None,
            Err(error) => return Err(Error::config_invalid(format!("the secret cannot be read: {error}"))),
        };
        // Undated, so they are read again soon: from Vault's memory of a minute, or anew.
        Ok(Some(Credential { access_key_id, secret_access_key, session_token, expires_in: None }))
    }
}

/// The process's environment. What is not UTF-8 is left out; `std::env::vars` would panic over it.
#[derive(Debug, Clone, Copy)]
pub(super) struct ProcessEnv;

impl Env for ProcessEnv {
    fn var(&self, key: &str) -> Option<String> {
        std::env::var(key).ok()
    }

    fn vars(&self) -> HashMap<String, String> {
        std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect()
    }

    fn home_dir(&self) -> Option<PathBuf> {
        std::env::home_dir()
    }
}

#[cfg(test)]
mod tests;
