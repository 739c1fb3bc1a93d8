//! Why the admin listener cannot start.

use super::TokenError;
use crate::http::HttpError;

/// Why the admin listener cannot start: what is in the way, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// The address.
    #[error(transparent)]
    Listen(#[from] HttpError),
    /// A token file. Starting without it would either shut everybody out or let everybody in.
    #[error(transparent)]
    Token(#[from] TokenError),
}
