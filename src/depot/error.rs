//! Why an asset cannot be read, by what a front end should tell its client.

use std::time::Duration;

use super::Outcome;

/// Why an asset's bytes are not to be had. The `Display` text is for operators and logs; [`ReadError::public`] is what
/// a client may be told.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ReadError {
    /// Every source says that there is no such object. HTTP 404, TFTP ERROR 1.
    #[error("no source has it: {0}")]
    NotFound(String),
    /// No source could be reached, or they refuse us, or the object keeps changing. HTTP 503 with `Retry-After`.
    #[error("no source could be read: {reason}")]
    Unavailable {
        /// What the last source said.
        reason: String,
        /// When it makes sense to ask again.
        retry_after: Duration,
    },
    /// Every source answered with bytes of another digest. HTTP 502.
    #[error("every source gave wrong bytes: {0}")]
    WrongBytes(String),
    /// The server is stopping. HTTP 503.
    #[error("the server is stopping")]
    Closing,
    /// The cache's disk failed under way.
    #[error("the cache cannot be read: {0}")]
    Disk(String),
}

impl ReadError {
    /// What a client may be told: a short reason without URLs, paths or credentials.
    pub fn public(&self) -> &'static str {
        match self {
            Self::NotFound(_) => "the origin does not have this asset",
            Self::Unavailable { .. } => "the origin cannot be reached or refuses; try again later",
            Self::WrongBytes(_) => "the origin's bytes do not have the digest that the catalog names",
            Self::Closing => "the server is stopping; try again later",
            Self::Disk(_) => "the server cannot read its cache; try again later",
        }
    }

    /// How a transfer that ends with this is counted.
    pub fn outcome(&self) -> Outcome {
        match self {
            Self::NotFound(_) => Outcome::NotFound,
            Self::Unavailable { .. } | Self::Disk(_) => Outcome::OriginFailed,
            Self::WrongBytes(_) => Outcome::DigestMismatch,
            Self::Closing => Outcome::Refused,
        }
    }
}
