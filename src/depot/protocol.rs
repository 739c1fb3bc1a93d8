//! The protocols that transfers use.

use serde::{Deserialize, Serialize};
use strum::{EnumCount, IntoStaticStr};
use utoipa::ToSchema;

/// The protocol of a transfer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema, EnumCount, IntoStaticStr)]
#[strum(serialize_all = "lowercase")]
#[serde(rename_all = "lowercase")]
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
