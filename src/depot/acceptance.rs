//! The result of accepting the bytes that the object of a changed asset has now.

use std::sync::Arc;

use super::error::ReadError;
use crate::asset::Digest;
use crate::catalog::{Asset, DigestSource};

/// The result of [`Depot::accept`](super::Depot::accept).
#[derive(Debug, Clone)]
pub enum Accepted {
    /// These bytes are served.
    Asset(Arc<Asset>),
    /// Its source does not have it any more. It is recorded no more.
    Removed,
}

/// Why a changed asset was not accepted.
#[derive(Debug, Clone, thiserror::Error)]
pub enum AcceptError {
    /// It belongs to no collection.
    #[error("{0} belongs to no collection; only assets of collections change by themselves")]
    NoMember(String),
    /// Its object cannot be read, or has no digest.
    #[error("{name} stays as it is: {source}")]
    Read {
        /// The asset.
        name: String,
        /// The reason.
        source: ReadError,
    },
    /// The object is another one, and its document is the old one.
    #[error(
        "{name} stays as it is: its object has changed, but its {from} still says the digest that is served, {digest}; write the \
         new digest there first"
    )]
    LateDocument {
        /// The asset.
        name: String,
        /// The place of the document.
        from: DigestSource,
        /// The digest.
        digest: Digest,
    },
}
