//! What an S3 server supports beyond the requests that all support.

use serde::{Deserialize, Serialize};

/// Header fields that an S3 server takes. Without them an upload still is protected: each request is signed with the SHA-256
/// of its body, which the server compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capabilities {
    /// Keeps `x-amz-checksum-sha256` and says it to HEAD.
    pub checksums: bool,
    /// Takes `If-None-Match: *` and `If-Match` with PUT, and refuses the request if they do not hold.
    pub conditions: bool,
}

impl Capabilities {
    /// Those of a server that nothing is known of: no optional field is sent.
    pub const UNKNOWN: Self = Self { checksums: false, conditions: false };
    /// Those of AWS.
    pub const ALL: Self = Self { checksums: true, conditions: true };
}
