//! Scripts for iPXE and GRUB.

use super::{Machine, Shared, Visit};

pub(super) fn entry(visit: &Visit) -> String {
    format!("#!ipxe\nchain {}/ipxe?\n", visit.base)
}

pub(super) fn ipxe(shared: &Shared, machine: &Machine, visit: &Visit) -> String {
    let _ = (shared, machine, visit);
    "#!ipxe\n".to_owned()
}

pub(super) fn grub(shared: &Shared, machine: &Machine, visit: &Visit) -> String {
    let _ = (shared, machine, visit);
    String::new()
}
