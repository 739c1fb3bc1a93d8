//! Vault's settings in the environment.

use std::path::PathBuf;

use crate::environment::not_blank;

/// The path of a pod's service account token in Kubernetes.
const SERVICE_ACCOUNT_TOKEN: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";

/// Address and login of Vault.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct VaultSettings {
    /// `VAULT_ADDR`: Vault's URL.
    pub(super) address: Option<String>,
    /// `VAULT_NAMESPACE`.
    pub(super) namespace: Option<String>,
    /// `VAULT_CACERT`: certificates (PEM) to trust in addition to the system's.
    pub(super) ca_file: Option<PathBuf>,
    /// How to obtain a token.
    pub(super) login: Option<Login>,
}

/// How to obtain a token.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Login {
    /// `VAULT_TOKEN`: a given token, which the session renews as long as Vault allows it.
    Token(String),
    /// `VAULT_TOKEN_FILE`, or the file of `vault login` in the home directory. Another program renews it.
    File(PathBuf),
    /// The Kubernetes auth method. The variables are named after Vault Agent's settings.
    Kubernetes {
        /// `VAULT_K8S_ROLE`.
        role: String,
        /// `VAULT_K8S_MOUNT_PATH`, else `auth/kubernetes`.
        mount: String,
        /// `VAULT_K8S_TOKEN_PATH`: the service account token, else the path that Kubernetes uses.
        token: PathBuf,
    },
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Token(_) => "Token(…)",
            Self::File(_) => "File",
            Self::Kubernetes { .. } => "Kubernetes",
        })
    }
}

impl VaultSettings {
    /// Reads the settings through `var`. Blank variables count as not set.
    pub(super) fn read(var: impl Fn(&str) -> Option<String>, home: Option<PathBuf>) -> Self {
        let var = |name: &str| not_blank(&var(name)?).map(str::to_owned);
        let kubernetes = || {
            Some(Login::Kubernetes {
                role: var("VAULT_K8S_ROLE")?,
                mount: var("VAULT_K8S_MOUNT_PATH").unwrap_or_else(|| "auth/kubernetes".to_owned()),
                token: var("VAULT_K8S_TOKEN_PATH").unwrap_or_else(|| SERVICE_ACCOUNT_TOKEN.to_owned()).into(),
            })
        };
        let login_file = || Some(Login::File(home?.join(".vault-token")));
        Self {
            address: var("VAULT_ADDR"),
            namespace: var("VAULT_NAMESPACE"),
            ca_file: var("VAULT_CACERT").map(PathBuf::from),
            login: var("VAULT_TOKEN")
                .map(Login::Token)
                .or_else(|| var("VAULT_TOKEN_FILE").map(|path| Login::File(path.into())))
                .or_else(kubernetes)
                .or_else(login_file),
        }
    }
}
