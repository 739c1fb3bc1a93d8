//! The states of a boot.

use strum::{EnumString, IntoStaticStr, VariantArray, VariantNames};

/// The state of a boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr, EnumString, VariantArray, VariantNames)]
#[strum(serialize_all = "kebab-case")]
pub enum State {
    /// It is in progress.
    Booting,
    /// The machine matches no host, and there is no default profile: its script retries.
    Waiting,
    /// Everything that its script named was sent completely.
    Done,
    /// It requests nothing more, and only the machine knows whether it needs more: it read parts of an ISO, or its script
    /// sent it to another server.
    Quiet,
    /// Its last transfer failed, and no other followed.
    Failed,
    /// The next step has been missing for three minutes.
    Stuck,
}

impl State {
    /// The word for it in tables and JSON.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}
