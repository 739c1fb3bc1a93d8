//! What the room needs of the settings file, resolved.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::TokenError;
use super::tokens::Tokens;

/// Where the admin listener is, and who may ask it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdminSettings {
    /// Its address.
    pub listen: SocketAddr,
    /// The tokens of those who may change things; see [`super::TokenError`] for what the file holds.
    pub operator_token_file: Option<PathBuf>,
    /// The tokens of those who may look.
    pub viewer_token_file: Option<PathBuf>,
    /// Names that this server goes by, besides its addresses and `localhost`: what the `Host` field of requests to the API
    /// may say.
    pub hosts: Vec<String>,
}

impl AdminSettings {
    /// A listener at this address that asks for no token, and so answers only this machine.
    pub fn at(listen: SocketAddr) -> Self {
        Self { listen, operator_token_file: None, viewer_token_file: None, hosts: Vec::new() }
    }

    /// Reads the token files as the listener would. Blocks.
    pub fn check(&self) -> Result<(), TokenError> {
        Tokens::read(self).map(drop)
    }

    /// Whether the API asks for tokens.
    pub fn has_tokens(&self) -> bool {
        self.operator_token_file.is_some() || self.viewer_token_file.is_some()
    }
}
