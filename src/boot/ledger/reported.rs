//! The verdict on a boot that is in the log.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::state::State;

/// The last verdict on a boot in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Reported {
    pub(super) state: State,
    /// The last event of the boot at that time.
    pub(super) last: Timestamp,
}
