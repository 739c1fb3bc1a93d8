//! The states of a boot.

use serde::{Deserialize, Serialize};
use strum::{IntoStaticStr, VariantArray};
use utoipa::ToSchema;

/// How a boot stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema, IntoStaticStr, VariantArray)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum State {
    /// It is under way.
    Booting,
    /// Nobody named the machine and nothing is there for such machines: its script tells it to ask again.
    Waiting,
    /// Everything that its script named came whole.
    Done,
    /// It asks for nothing more, and only the machine knows whether it needs more: it read parts of an ISO, or its script
    /// sent it elsewhere.
    Quiet,
    /// Its last transfer went wrong, and nothing followed.
    Failed,
    /// A next step is due and has not come for three minutes.
    Stuck,
}

impl State {
    /// The word for it in tables and JSON.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}
