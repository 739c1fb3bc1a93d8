//! Roles in sentences.

use crate::boot::role::Role;

/// The role without an article: `network boot program`.
pub(super) fn bare(role: Role) -> &'static str {
    match role {
        Role::Dhcp => "DHCP answer",
        Role::Nbp => "network boot program",
        Role::Script => "script",
        Role::Kernel => "kernel",
        Role::Initrd => "initrd",
        Role::Asset => "asset",
        Role::File => "host file",
        Role::Address => "other address",
    }
}

/// The role with its article: `the network boot program`.
pub(super) fn noun(role: Role) -> String {
    format!("the {}", bare(role))
}
