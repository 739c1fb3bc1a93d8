//! How origins are reached: what the room needs of the settings file, resolved.

use std::path::PathBuf;
use std::time::Duration;

use crate::secret::{Secret, VaultPath};

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
    /// The fields `access_key_id`, `secret_access_key` and, where there is one, `session_token` of a secret in Vault.
    Vault {
        /// Where it is.
        path: VaultPath,
    },
    /// Unsigned requests.
    Anonymous,
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
