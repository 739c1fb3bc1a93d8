//! How fast the reconciler retries.

use std::time::Duration;

use crate::backoff::BackoffPolicy;

/// How fast the reconciler retries.
#[derive(Debug, Clone, Copy)]
pub(super) struct ReconcileSettings {
    /// The pauses between fetches of an asset that fail.
    pub(super) backoff: BackoffPolicy,
    /// How often to check for blobs that have gone missing.
    pub(super) check_interval: Duration,
}

impl Default for ReconcileSettings {
    /// A restarting origin or a lost packet costs about a second. A minute is soon enough for an object that has yet to be
    /// uploaded. A blob that goes corrupt is also fetched by the first machine that requests it.
    fn default() -> Self {
        Self {
            backoff: BackoffPolicy { first: Duration::from_secs(1), max: Duration::from_mins(1), jitter: 0.25 },
            check_interval: Duration::from_secs(10),
        }
    }
}
