//! The optional features of an S3 server.

use serde::{Deserialize, Serialize};

/// Header fields that an S3 server takes. Without them an upload still is protected: each request is signed with the SHA-256
/// of its body, which the server compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capabilities {
    /// Keeps `x-amz-checksum-sha256` and says it to HEAD.
    pub checksums: bool,
    /// Refuses a PUT with `If-None-Match: *` if the object exists.
    pub if_absent: bool,
    /// Refuses a PUT with `If-Match` if the object has another `ETag`, which it takes in this form. `None`: it cannot be used.
    pub if_matches: Option<EtagForm>,
}

/// The form of an `ETag` in `If-Match`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EtagForm {
    /// As the server sends it (RFC 9110 8.8.3).
    Quoted,
    /// Without the quotes: Ceph, and services on it, compare the field byte for byte with what they keep.
    Bare,
}

impl Capabilities {
    /// Those of a server that nothing is known of: no optional field is sent.
    pub const UNKNOWN: Self = Self { checksums: false, if_absent: false, if_matches: None };
    /// Those of AWS.
    pub const ALL: Self = Self { checksums: true, if_absent: true, if_matches: Some(EtagForm::Quoted) };
}
