//! How transfers and fills end: the words that logs, metrics and the API share.

use std::fmt;

use serde::{Deserialize, Serialize};
use strum::{EnumCount, EnumString, IntoStaticStr, VariantNames};

/// How a transfer ended.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, EnumCount, IntoStaticStr, EnumString, VariantNames,
)]
#[strum(serialize_all = "kebab-case")]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// The whole requested range was sent, verified.
    Complete,
    /// The client asked for the size and then ended the transfer.
    Probe,
    /// The client disconnected.
    Aborted,
    /// The client stopped answering.
    Timeout,
    /// The bytes did not have the digest in the catalog.
    DigestMismatch,
    /// The origin could not be read.
    OriginFailed,
    /// A file for one host could not be made: its template fails, or a secret is not available.
    RenderFailed,
    /// The request was not served: a bad request, too many transfers, an internal error, or the server is stopping.
    Refused,
    /// There is no such asset.
    NotFound,
}

/// How a fill ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, IntoStaticStr, EnumString, VariantNames)]
#[strum(serialize_all = "kebab-case")]
pub enum FillOutcome {
    /// The blob is verified and in the cache.
    Complete,
    /// Every source that answered sent other bytes.
    DigestMismatch,
    /// No source could be read.
    OriginFailed,
    /// The cache has no space, or its disk fails.
    NoSpace,
    /// Replies of a source disagreed about the object, also in the plainest way of reading it.
    Changed,
    /// The server stopped, the only job that needed the fill was cancelled, or the fill hit an internal error.
    Cancelled,
}

impl Outcome {
    /// The word in logs and metrics.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

impl FillOutcome {
    /// The word in logs and metrics.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

impl fmt::Display for FillOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
