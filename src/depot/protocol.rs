//! The protocols that transfers use.

use strum::{EnumCount, EnumString, IntoStaticStr, VariantNames};

/// The protocol of a transfer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EnumCount, IntoStaticStr, EnumString, VariantNames)]
#[strum(serialize_all = "kebab-case")]
pub enum Protocol {
    /// HTTP, with or without TLS.
    Http,
    /// TFTP.
    Tftp,
}

impl Protocol {
    /// The word in logs and metrics.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}
