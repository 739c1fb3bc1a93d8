//! Why the admin server cannot start.

use super::tokens::TokenError;
use crate::transport::ListenError;

/// Why the admin server cannot start.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// The address cannot be listened on.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// A token file cannot be used. Starting without it would either lock out all operators or let in all clients.
    #[error(transparent)]
    Token(#[from] TokenError),
}
