//! The reply to a read: its checked head, and its body.

use std::time::SystemTime;

use super::body::Body;
use super::checksum::Checksum;
use super::validator::Validator;
use crate::asset::{ByteRange, CompositeDigest};

/// The reply to a ranged read. Its head has been checked against the request.
pub struct Reply {
    /// The range in the body. It contains the start of the requested range, but may begin before it and end before or
    /// after its end: some servers send less or more than was requested, or the whole object ([`Reply::ignored_range`]).
    /// Its end is `u64::MAX` if the length of the body is not known.
    pub range: ByteRange,
    /// The object's length in bytes. `None` if the source does not say.
    pub total: Option<u64>,
    /// The validator that makes the next read fail if the object has changed. `None` if the source sends none.
    pub validator: Option<Validator>,
    /// When the object was last modified. `None` if the source does not say.
    pub last_modified: Option<SystemTime>,
    /// The source sent the whole object although a range was requested. It can only be read as one stream.
    pub ignored_range: bool,
    /// The digests that the source declares, the store's own first. A claim: this read has not verified them.
    pub checksums: Vec<Checksum>,
    /// The digest of the object's parts that an S3 store declares. A claim, too.
    pub composite: Option<CompositeDigest>,
    /// The bytes.
    pub body: Body,
}
