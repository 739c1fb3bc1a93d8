//! The stages of a boot.

use super::names;
use crate::boot::role::Role;

/// A stage of a boot, in the order in which machines pass them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    /// DHCP has named a boot file.
    Dhcp,
    /// The firmware fetches its network boot program, and that program its own files.
    Nbp,
    /// The boot loader fetches its entry script, which is the same for all machines.
    Entry,
    /// The boot loader fetches the script of this machine.
    Script,
    /// The boot loader or the system fetches its payload.
    Payload,
}

impl Stage {
    /// The stage in which a file of this role and name is fetched. `scripted`: whether a script was sent before.
    pub(super) fn of(role: Role, name: &str, scripted: bool) -> Self {
        match role {
            // It does not count: see `Step::counts`.
            Role::Dhcp | Role::Address => Self::Dhcp,
            Role::Nbp => Self::Nbp,
            Role::Script if names::is_entry(name) => Self::Entry,
            Role::Script => Self::Script,
            // Second stages and modules of the boot loader itself.
            Role::Asset if !scripted => Self::Nbp,
            Role::Kernel | Role::Initrd | Role::Asset | Role::File => Self::Payload,
        }
    }
}
