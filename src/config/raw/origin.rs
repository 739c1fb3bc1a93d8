//! `[[origin]]`: how to reach a family of source URLs.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::asset::SourcePrefix;
use crate::config::format::{Endpoint, FilePath, Proxy, SecretText, VaultSecret};
use crate::config::written::Written;

/// How to reach a family of source URLs.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Origin {
    /// Prefix of the source URLs, such as `s3://harmony-assets/` or `https://mirror.lab/private/`. Scheme, host and port are
    /// compared as parsed, the path by whole segments: `https://h/a` matches `https://h/a` and `https://h/a/b`, not
    /// `https://h/ab`. The longest match wins. Header fields and credentials go nowhere else, also after a redirect.
    pub(in crate::config) r#match: Written<SourcePrefix>,
    /// The S3 endpoint. Default: the AWS endpoint of the region.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::config) endpoint: Option<Written<Endpoint>>,
    /// The region for which S3 requests are signed.
    #[serde(default = "region")]
    #[schemars(length(min = 1))]
    pub(in crate::config) region: String,
    /// Where the bucket's name goes in an S3 URL.
    #[serde(default)]
    pub(in crate::config) addressing: Addressing,
    /// Credentials for S3 sources.
    #[serde(default)]
    pub(in crate::config) credentials: Credentials,
    /// Certificates (PEM) to trust in addition to the system's: of CAs, or the self-signed certificate of the server itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::config) ca_file: Option<Written<FilePath>>,
    /// Accept any certificate. For laboratories only: digests still protect the bytes, but nothing protects the
    /// credentials.
    #[serde(default)]
    pub(in crate::config) insecure_skip_verify: bool,
    /// An HTTP or SOCKS proxy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::config) proxy: Option<Written<Proxy>>,
    /// Header fields to send with each request, such as `Authorization`. Each value is a secret. For `s3://` sources, fields
    /// whose name begins with `x-amz-` are part of the signature (`x-amz-request-payer`, the keys of SSE-C); others are sent
    /// unsigned.
    #[serde(default)]
    pub(in crate::config) headers: BTreeMap<String, Written<SecretText>>,
}

fn region() -> String {
    "us-east-1".to_owned()
}

/// Where the bucket's name goes in an S3 URL.
#[derive(Clone, Copy, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(in crate::config) enum Addressing {
    /// In the path: `https://endpoint/bucket/key`.
    #[default]
    Path,
    /// In the host: `https://bucket.endpoint/key`.
    Virtual,
}

/// Credentials for an S3 origin.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(tag = "from", rename_all = "kebab-case", deny_unknown_fields)]
pub(in crate::config) enum Credentials {
    /// The AWS chain: environment, profile files, web identity, container, instance.
    Default {},
    /// `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY` and `AWS_SESSION_TOKEN` of the environment.
    Env {},
    /// The keys given here.
    Static {
        /// The access key ID.
        #[schemars(length(min = 1))]
        access_key_id: String,
        /// The secret access key.
        secret_access_key: Written<SecretText>,
        /// The session token of temporary credentials.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        session_token: Option<Written<SecretText>>,
    },
    /// A profile of the AWS configuration files.
    Profile {
        /// Name of the profile. Default: `AWS_PROFILE`, then `default`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<String>,
        /// The credentials file. Default: `AWS_SHARED_CREDENTIALS_FILE`, then `~/.aws/credentials`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        file: Option<Written<FilePath>>,
    },
    /// `AWS_WEB_IDENTITY_TOKEN_FILE` and `AWS_ROLE_ARN`, as set for Kubernetes service accounts.
    WebIdentity {},
    /// The role of the EC2 instance.
    Instance {},
    /// The role of the ECS or EKS container.
    Container {},
    /// A secret in Vault (key-value engine, version 2) with the fields `access_key_id`, `secret_access_key` and, for
    /// temporary credentials, `session_token`. `VAULT_ADDR` and related variables say how Vault is reached.
    Vault {
        /// Path of the secret: MOUNT/PATH.
        path: Written<VaultSecret>,
    },
    /// Unsigned requests.
    Anonymous {},
}

impl Default for Credentials {
    fn default() -> Self {
        Self::Default {}
    }
}
