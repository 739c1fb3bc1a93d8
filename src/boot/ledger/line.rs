//! The lines of the journal.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::attempt::Attempt;
use super::identity::Identity;
use super::key::MachineKey;

/// One line of the journal, as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(clippy::large_enum_variant, reason = "nearly every line is a boot")]
pub(super) enum Line {
    /// The current state of an attempt.
    Boot {
        /// The machine.
        machine: MachineKey,
        /// The name of the host.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        host: Option<String>,
        /// The last address of the machine, in lines of a version that knew no more.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        address: Option<IpAddr>,
        /// Everything that the machine was seen with.
        #[serde(default)]
        identity: Identity,
        /// The attempt.
        boot: Attempt,
    },
    /// The attempt with this id became part of another, or was dropped.
    Gone(u64),
}
