//! The stages of a boot.

use serde::{Deserialize, Serialize};

use crate::boot::role::Role;

/// The stage that a boot has reached, in the order in which machines pass them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Stage {
    /// DHCP has named a boot file.
    Dhcp,
    /// The firmware fetches its network boot program.
    Nbp,
    /// The boot loader fetches its script.
    Script,
    /// The boot loader or the system fetches its payload.
    Payload,
}

impl Stage {
    /// The stage in which files of this role are fetched.
    pub(super) fn of(role: Role) -> Self {
        match role {
            Role::Dhcp => Self::Dhcp,
            Role::Nbp => Self::Nbp,
            Role::Script => Self::Script,
            Role::Kernel | Role::Initrd | Role::Asset | Role::File => Self::Payload,
        }
    }
}
