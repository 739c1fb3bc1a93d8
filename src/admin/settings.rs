//! The admin server's settings, resolved from the configuration.

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::address_share::ShareSettings;

/// Where the admin server listens, and which requests it admits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdminSettings {
    /// The address of the listener.
    pub listen: SocketAddr,
    /// The file with the tokens of operators, who may read and change. One token a line, or `sha256:` and its digest.
    pub operator_token_file: Option<PathBuf>,
    /// The file with the tokens of viewers, who may only read.
    pub viewer_token_file: Option<PathBuf>,
    /// Names of this server that the `Host` field of API requests may have, besides IP addresses and `localhost`.
    pub hosts: Vec<String>,
    /// How much of the limit on connections one client may use.
    pub shares: ShareSettings,
}

impl AdminSettings {
    /// A listener at this address without tokens, whose API admits only clients on this machine.
    pub fn at(listen: SocketAddr) -> Self {
        Self {
            listen,
            operator_token_file: None,
            viewer_token_file: None,
            hosts: Vec::new(),
            shares: ShareSettings::default(),
        }
    }

    /// Returns whether the API requires tokens.
    pub fn has_tokens(&self) -> bool {
        self.operator_token_file.is_some() || self.viewer_token_file.is_some()
    }
}
