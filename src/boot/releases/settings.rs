//! How fast the reconciler retries.

use std::time::Duration;

/// How fast the reconciler retries.
#[derive(Debug, Clone, Copy)]
pub(super) struct ReconcileSettings {
    /// The pause after the first failure of an asset. Each further failure doubles it.
    pub(super) first_pause: Duration,
    /// The longest pause.
    pub(super) longest_pause: Duration,
    /// How often to check for blobs that have gone missing.
    pub(super) check_interval: Duration,
}

impl Default for ReconcileSettings {
    /// A restarting origin or a lost packet costs about a second. A minute is soon enough for an object that has yet to be
    /// uploaded. A blob that goes corrupt is also fetched by the first machine that requests it.
    fn default() -> Self {
        Self {
            first_pause: Duration::from_secs(1),
            longest_pause: Duration::from_mins(1),
            check_interval: Duration::from_secs(10),
        }
    }
}
