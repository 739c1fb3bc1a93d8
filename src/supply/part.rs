//! Parts of uploads, and uploads that have not ended.

use crate::asset::Digest;

/// A part that a store has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedPart {
    /// Its number, from 1.
    pub number: u32,
    /// Its length in bytes.
    pub size: u64,
    /// Its `ETag`, quotes included.
    pub etag: String,
    /// Its SHA-256, if the server keeps it.
    pub digest: Option<Digest>,
}

/// A part that was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompletedPart {
    /// Its number, from 1.
    pub number: u32,
    /// The `ETag` that the store gave it, quotes included.
    pub etag: String,
    /// Its SHA-256.
    pub digest: Digest,
    /// Its length in bytes.
    pub size: u64,
}

/// An upload that is neither completed nor aborted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingUpload {
    /// The key of the object that it will become.
    pub key: String,
    /// Its ID.
    pub upload_id: String,
    /// When it began (RFC 3339), as written.
    pub initiated: Option<String>,
}
