//! Why an asset cannot be read, by what a front end should send to its client.

use std::io;
use std::time::Duration;

use super::outcome::Outcome;
use crate::task::TaskPanicked;

/// Why an asset's bytes are not available. The `Display` text is for operators and logs; [`ReadError::public`] is the
/// text for clients.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// Every source reports that there is no such object. HTTP 404, TFTP ERROR 1.
    #[error("no source has it: {0}")]
    NotFound(String),
    /// No source could be reached, or they refuse the server, or contradict themselves. HTTP 503 with `Retry-After`.
    #[error("no source could be read: {reason}")]
    Unavailable {
        /// The error of the last source.
        reason: String,
        /// When it makes sense to retry.
        retry_after: Duration,
    },
    /// Every source sent bytes of another digest. HTTP 502.
    #[error("every source sent wrong bytes: {0}")]
    WrongBytes(String),
    /// The server is stopping. HTTP 503.
    #[error("the server is stopping")]
    Closing,
    /// The cache's disk failed during the read.
    #[error("the cache cannot be read: {0}")]
    Disk(String),
    /// A task panicked: a bug in this program. HTTP 500.
    #[error(transparent)]
    Internal(#[from] TaskPanicked),
}

impl From<io::Error> for ReadError {
    fn from(error: io::Error) -> Self {
        Self::Disk(error.to_string())
    }
}

impl ReadError {
    /// The text for clients: a short reason without URLs, paths or credentials.
    pub fn public(&self) -> &'static str {
        match self {
            Self::NotFound(_) => "the origin does not have this asset",
            Self::Unavailable { .. } => "the origin cannot be reached or refuses; try again later",
            Self::WrongBytes(_) => "the origin's bytes do not have the digest that the catalog names",
            Self::Closing => "the server is stopping; try again later",
            Self::Disk(_) => "the server cannot read its cache; try again later",
            Self::Internal(_) => "the server has an internal error; its log has more",
        }
    }

    /// The outcome of a transfer that ends with this error.
    pub fn outcome(&self) -> Outcome {
        match self {
            Self::NotFound(_) => Outcome::NotFound,
            Self::Unavailable { .. } | Self::Disk(_) => Outcome::OriginFailed,
            Self::WrongBytes(_) => Outcome::DigestMismatch,
            Self::Closing | Self::Internal(_) => Outcome::Refused,
        }
    }
}
