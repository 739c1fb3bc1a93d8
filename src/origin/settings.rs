//! How origins are reached: what the room needs of the settings file, resolved.

use std::path::PathBuf;
use std::time::Duration;

/// How to reach the source URLs that begin with `prefix`.
#[derive(Debug, Clone)]
pub struct OriginSettings {
    /// The prefix of the source URLs it is for (`match`).
    pub prefix: String,
    /// The S3 endpoint, such as `https://s3.lab:9000`; none: AWS's for the region.
    pub endpoint: Option<url::Url>,
    /// The signing region.
    pub region: String,
    /// Where the bucket's name goes.
    pub addressing: Addressing,
    /// Who we are to it.
    pub credentials: Credentials,
    /// Certificates (PEM) trusted besides the system's.
    pub ca_file: Option<PathBuf>,
    /// Accept any certificate.
    pub insecure_skip_verify: bool,
    /// An HTTP or SOCKS proxy on the way.
    pub proxy: Option<url::Url>,
    /// Header fields sent along (`https` and `http` sources).
    pub headers: Vec<(String, Secret)>,
}

/// Where the bucket's name goes in an S3 URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Addressing {
    /// `https://endpoint/bucket/key`.
    #[default]
    Path,
    /// `https://bucket.endpoint/key`.
    Virtual,
}

/// Where an S3 origin's credentials come from.
#[derive(Debug, Clone, Default)]
pub enum Credentials {
    /// The AWS chain: environment, profile files, web identity, container, instance.
    #[default]
    Default,
    /// `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN`.
    Env,
    /// Given in the settings.
    Static {
        /// The access key's id.
        access_key_id: String,
        /// Its secret.
        secret_access_key: Secret,
        /// A temporary credential's token.
        session_token: Option<Secret>,
    },
    /// A profile of the AWS configuration files.
    Profile {
        /// Its name; none: `AWS_PROFILE`, else `default`.
        name: Option<String>,
        /// The credentials file; none: `AWS_SHARED_CREDENTIALS_FILE`, else `~/.aws/credentials`.
        file: Option<PathBuf>,
    },
    /// `AWS_WEB_IDENTITY_TOKEN_FILE` and `AWS_ROLE_ARN`.
    WebIdentity,
    /// The EC2 instance's role (`IMDSv2`).
    Instance,
    /// The ECS or EKS container's role.
    Container,
    /// Unsigned requests.
    Anonymous,
}

/// A text that is never shown: `env:NAME` and `file:/path` are read when it is used, anything else is the text itself.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The secret that `text` names or is.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The secret itself, read anew from the environment or the file where it names one.
    pub fn reveal(&self) -> Result<String, String> {
        if let Some(name) = self.0.strip_prefix("env:") {
            std::env::var(name).map_err(|_| format!("the environment variable {name} is not set"))
        } else if let Some(path) = self.0.strip_prefix("file:") {
            match std::fs::read_to_string(path) {
                Ok(text) => Ok(text.trim_end_matches(['\r', '\n']).to_owned()),
                Err(e) => Err(format!("the file {path} cannot be read: {e}")),
            }
        } else {
            Ok(self.0.clone())
        }
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// How long to wait for an origin. Idle times, never total ones: a large object on a slow link is no failure.
#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    /// For a connection, its TLS handshake included; never longer than `stall`, for it is silence too.
    pub connect: Duration,
    /// For the next byte of a head or a body.
    pub stall: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self { connect: Duration::from_secs(10), stall: Duration::from_secs(10) }
    }
}
