//! Metadata of an object and of the server that stores it.

use std::time::SystemTime;

use jiff::SignedDuration;

use super::checksum::Checksum;
use super::error::OriginError;
use super::storage::Storage;
use super::validator::Validator;
use crate::asset::CompositeDigest;

/// Metadata of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stat {
    /// Its length in bytes.
    pub size: u64,
    /// The validator of its current state.
    pub validator: Option<Validator>,
    /// When it was last modified.
    pub last_modified: Option<SystemTime>,
    /// The digests that the source declares, the store's own first.
    pub checksums: Vec<Checksum>,
    /// The digest of its parts that an S3 store declares, if it was uploaded in parts.
    pub composite: Option<CompositeDigest>,
}

/// The result of `Origins::stat`. The server's properties are known even if the object cannot be read.
#[derive(Debug)]
pub struct StatReport {
    /// The object's metadata.
    pub stat: Result<Stat, OriginError>,
    /// How an S3 store keeps the object. `None` if it does not say.
    pub storage: Option<Storage>,
    /// How far the server's clock is ahead of ours, to the second. `None` if it sends no date.
    pub clock_offset: Option<SignedDuration>,
    /// When the server's certificate expires. `None` without TLS.
    pub certificate_expiry: Option<SystemTime>,
}
