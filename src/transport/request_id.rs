//! The id of one failed request, which its response and its log line share.

use hyper::header::HeaderName;

/// The response field that carries the id.
pub(crate) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Identifies one failed request in its response and in the log. Random, not unique: 32 bits suffice to find a log line.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RequestId(u32);

impl RequestId {
    /// Returns a random id.
    pub(crate) fn new() -> Self {
        Self(fastrand::u32(..))
    }
}

impl std::fmt::Display for RequestId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}
