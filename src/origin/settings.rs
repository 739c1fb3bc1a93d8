//! Resolved settings of origins. Data only: no IO.

use std::path::PathBuf;
use std::time::Duration;

use crate::asset::SourcePrefix;
use crate::secret::{Secret, VaultPath};

/// Settings of the origin for the source URLs that `prefix` covers.
#[derive(Debug, Clone)]
pub struct OriginSettings {
    /// The prefix of its source URLs (`match`).
    pub prefix: SourcePrefix,
    /// The S3 endpoint, for example `https://s3.lab:9000`. `None`: AWS's endpoint in the region.
    pub endpoint: Option<url::Url>,
    /// The signing region.
    pub region: String,
    /// Where the bucket's name is in URLs.
    pub addressing: Addressing,
    /// Where its credentials come from.
    pub credentials: CredentialSource,
    /// Certificates (PEM) to trust in addition to the system's.
    pub ca_file: Option<PathBuf>,
    /// Accepts any certificate.
    pub insecure_skip_verify: bool,
    /// An HTTP or SOCKS proxy.
    pub proxy: Option<url::Url>,
    /// Header fields to send. In signed S3 requests, those whose name begins with `x-amz-` are signed.
    pub headers: Vec<(String, Secret)>,
}

/// Where the bucket's name is in an S3 URL.
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
pub enum CredentialSource {
    /// The AWS chain: environment, profile files, web identity, container, instance.
    #[default]
    Default,
    /// `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN`.
    Env,
    /// From the settings.
    Static {
        /// The access key's ID.
        access_key_id: String,
        /// The secret access key.
        secret_access_key: Secret,
        /// The session token of temporary credentials.
        session_token: Option<Secret>,
    },
    /// A profile of the AWS configuration files.
    Profile {
        /// Its name. `None`: `AWS_PROFILE`, else `default`.
        name: Option<String>,
        /// The credentials file. `None`: `AWS_SHARED_CREDENTIALS_FILE`, else `~/.aws/credentials`.
        file: Option<PathBuf>,
    },
    /// `AWS_WEB_IDENTITY_TOKEN_FILE` and `AWS_ROLE_ARN`.
    WebIdentity,
    /// The EC2 instance's role (`IMDSv2`).
    Instance,
    /// The ECS or EKS container's role.
    Container,
    /// The fields `access_key_id`, `secret_access_key` and, if present, `session_token` of a secret in Vault.
    Vault {
        /// The secret's path.
        path: VaultPath,
    },
    /// Unsigned requests.
    Anonymous,
}

/// Timeouts of origins. They limit idle time, never total time: a large object on a slow link is not a failure.
#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    /// For a connection with its TLS handshake. Limited to `stall`, because nothing arrives during it.
    pub connect: Duration,
    /// For the next bytes of a head or a body.
    pub stall: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self { connect: Duration::from_secs(10), stall: Duration::from_secs(10) }
    }
}
