//! Providers of AWS credentials: one for each credential source of the settings.

use std::collections::HashMap;
use std::path::PathBuf;

use reqsign_aws_v4::{
    AssumeRoleWithWebIdentityCredentialProvider, Credential, DefaultCredentialProvider, ECSCredentialProvider,
    EnvCredentialProvider, IMDSv2CredentialProvider, ProfileCredentialProvider,
};
use reqsign_core::{Context, Env, Error, ProvideCredential, ProvideCredentialDyn};

use crate::environment;
use crate::origin::settings::CredentialSource;
use crate::secret::{Secret, SecretError, VaultError, VaultPath};

pub(super) type Provider = Box<dyn ProvideCredentialDyn<Credential = Credential>>;

/// Returns the provider for `source` and the error text if it has no credentials. `None` for an anonymous origin.
pub(super) fn provider(source: CredentialSource) -> Option<(Provider, &'static str)> {
    Some(match source {
        CredentialSource::Anonymous => return None,
        CredentialSource::Default => (
            // Commands in a profile are not run.
            Box::new(DefaultCredentialProvider::builder().no_process().build()),
            "the environment, profile files, web identity, container and instance metadata have none",
        ),
        CredentialSource::Env => {
            (Box::new(EnvCredentialProvider::new()), "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not both set")
        }
        CredentialSource::Static { access_key_id, secret_access_key, session_token } => {
            (Box::new(StaticCredentials { access_key_id, secret_access_key, session_token }), "the settings have none")
        }
        CredentialSource::Vault { path } => (Box::new(VaultCredentials { path }), "Vault has none"),
        CredentialSource::Profile { name, file } => (
            profile(name, file),
            "the profile is in neither the credentials file nor the config file, or it has no keys",
        ),
        CredentialSource::WebIdentity => (
            Box::new(AssumeRoleWithWebIdentityCredentialProvider::new()),
            "AWS_WEB_IDENTITY_TOKEN_FILE and AWS_ROLE_ARN are not both set",
        ),
        CredentialSource::Instance => {
            (Box::new(IMDSv2CredentialProvider::new()), "AWS_EC2_METADATA_DISABLED disables instance metadata")
        }
        CredentialSource::Container => (
            Box::new(ECSCredentialProvider::new()),
            "neither AWS_CONTAINER_CREDENTIALS_RELATIVE_URI nor AWS_CONTAINER_CREDENTIALS_FULL_URI is set",
        ),
    })
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

/// Credentials from the settings.
#[derive(Debug)]
struct StaticCredentials {
    access_key_id: String,
    secret_access_key: Secret,
    session_token: Option<Secret>,
}

impl ProvideCredential for StaticCredentials {
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
    secret.reveal().await.map_err(unreadable)
}

fn unreadable(error: SecretError) -> Error {
    Error::config_invalid(format!("the secret cannot be read: {error}")).with_source(error)
}

/// Credentials from a secret in Vault.
#[derive(Debug)]
struct VaultCredentials {
    path: VaultPath,
}

impl ProvideCredential for VaultCredentials {
    type Credential = Credential;

    async fn provide_credential(&self, _context: &Context) -> Result<Option<Credential>, Error> {
        let field = |name| Secret::in_vault(&self.path, name);
        let access_key_id = reveal(&field("access_key_id")).await?;
        let secret_access_key = reveal(&field("secret_access_key")).await?;
        let session_token = match field("session_token").reveal().await {
            Ok(token) => Some(token),
            // Long-term keys have no session token.
            Err(SecretError::Vault { source, .. })
                if matches!(*source, VaultError::NoField(_) | VaultError::BlankField) =>
            {
                None
            }
            Err(error) => return Err(unreadable(error)),
        };
        // Without an expiry they are read again soon: from the Vault client's cache of one minute, or from Vault.
        Ok(Some(Credential { access_key_id, secret_access_key, session_token, expires_in: None }))
    }
}

/// The process's environment without variables that are blank or not UTF-8.
#[derive(Debug, Clone, Copy)]
pub(in crate::origin) struct ProcessEnv;

impl Env for ProcessEnv {
    fn var(&self, key: &str) -> Option<String> {
        environment::variable(key)
    }

    fn vars(&self) -> HashMap<String, String> {
        environment::variables().collect()
    }

    fn home_dir(&self) -> Option<PathBuf> {
        std::env::home_dir()
    }
}
