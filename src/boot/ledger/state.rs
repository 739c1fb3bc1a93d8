//! The states of a boot.

use strum::{EnumString, IntoStaticStr, VariantArray, VariantNames};

/// The state of a boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, IntoStaticStr, EnumString, VariantArray, VariantNames)]
#[strum(serialize_all = "kebab-case")]
pub enum State {
    /// It is in progress.
    Booting,
    /// Nothing can be booted now: no host matches the machine, or its release is not live. Its script retries.
    Waiting,
    /// Everything that it needs was sent.
    Done,
    /// It requests nothing more, and only the machine knows whether it needs more: its script sent it to another server, or no
    /// script of this server names the next file.
    Quiet,
    /// Something was refused, failed or was cut off, and no later request for it succeeded.
    Failed,
    /// The next step has been missing for three minutes.
    Stuck,
}

impl State {
    /// The word for it in tables and JSON.
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    /// Whether an operator should look at the machine.
    pub fn needs_attention(self) -> bool {
        matches!(self, Self::Failed | Self::Stuck | Self::Waiting)
    }
}
