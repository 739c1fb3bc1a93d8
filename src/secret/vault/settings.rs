//! What the environment says of Vault.

use std::path::PathBuf;

/// Where Kubernetes puts the token of a pod's service account.
const SERVICE_ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";

/// How Vault is reached, and who we are to it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct VaultSettings {
    /// `VAULT_ADDR`: its URL.
    pub(super) address: Option<String>,
    /// `VAULT_NAMESPACE`.
    pub(super) namespace: Option<String>,
    /// `VAULT_CACERT`: certificates (PEM) to trust besides the system's.
    pub(super) ca_file: Option<PathBuf>,
    /// How to come by a token.
    pub(super) login: Option<Login>,
}

/// How to come by a token.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Login {
    /// `VAULT_TOKEN`: it is given, and renewed as long as Vault lets us.
    Token(String),
    /// `VAULT_TOKEN_FILE`, or what `vault login` left in the home directory: another program renews it.
    File(PathBuf),
    /// The Kubernetes auth method, with the variables called as the settings of Vault Agent are.
    Kubernetes {
        /// `VAULT_K8S_ROLE`.
        role: String,
        /// `VAULT_K8S_MOUNT_PATH`, else `auth/kubernetes`.
        mount: String,
        /// `VAULT_K8S_TOKEN_PATH`: the token of the service account, else where Kubernetes puts it.
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
    /// The settings of the environment that `var` reads. What is empty is not set; a line's end, which comes along where a
    /// file was made a variable, is no part of any.
    pub(super) fn read(var: impl Fn(&str) -> Option<String>, home: Option<PathBuf>) -> Self {
        let var = |name: &str| var(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty());
        let kubernetes = || {
            Some(Login::Kubernetes {
                role: var("VAULT_K8S_ROLE")?,
                mount: var("VAULT_K8S_MOUNT_PATH").unwrap_or_else(|| "auth/kubernetes".to_owned()),
                token: var("VAULT_K8S_TOKEN_PATH").unwrap_or_else(|| SERVICE_ACCOUNT.to_owned()).into(),
            })
        };
        let left_by_login = || Some(Login::File(home?.join(".vault-token")));
        Self {
            address: var("VAULT_ADDR"),
            namespace: var("VAULT_NAMESPACE"),
            ca_file: var("VAULT_CACERT").map(PathBuf::from),
            login: var("VAULT_TOKEN")
                .map(Login::Token)
                .or_else(|| var("VAULT_TOKEN_FILE").map(|path| Login::File(path.into())))
                .or_else(kubernetes)
                .or_else(left_by_login),
        }
    }
}
