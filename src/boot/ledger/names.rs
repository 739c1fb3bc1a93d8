//! The purpose of a requested file, by its name.

use crate::boot::role::Role;

/// The longest stored name, in bytes. Names of assets fit, and a client cannot fill the memory with its own.
const MAX_NAME: usize = 200;

/// Entry scripts, which are the same for all machines and send a machine on to its own.
const ENTRIES: [&str; 2] = ["boot.ipxe", "autoexec.ipxe"];
/// Scripts of one machine: of iPXE, of GRUB (which appends `-01-MAC`), and of U-Boot's `bootflow` and `distro_bootcmd`.
const SCRIPTS: [&str; 4] = ["ipxe", "grub.cfg", "boot.scr", "boot.scr.uimg"];
/// The directory of the configurations of PXELINUX, which U-Boot reads too.
const PXELINUX: &str = "pxelinux.cfg";
/// The ends of the names of network boot programs: UEFI programs, signed or not; iPXE, PXELINUX, GRUB and Windows for BIOS.
const PROGRAMS: [&str; 9] = [".efi", ".efi.signed", "pxelinux.0", "core.0", ".pxe", ".kpxe", ".kkpxe", ".com", ".n12"];
/// The ends of the names of disk images that UEFI boots over HTTP (UEFI 2.10, 24.7.3.1).
const IMAGES: [&str; 2] = [".iso", ".img"];

/// Returns the role of names that imply one: scripts and host files.
pub(super) fn role(name: &str) -> Option<Role> {
    if name.starts_with("hosts/") {
        return Some(Role::File);
    }
    let mut parts = name.rsplit('/');
    let last = parts.next().unwrap_or_default();
    let is_script = is_entry(name)
        || SCRIPTS.contains(&last)
        || last.starts_with("grub.cfg-")
        || last == PXELINUX
        || parts.next() == Some(PXELINUX);
    is_script.then_some(Role::Script)
}

/// Whether it is an entry script, or a URL of one.
pub(super) fn is_entry(name: &str) -> bool {
    name.rsplit('/').next().is_some_and(|last| ENTRIES.contains(&last))
}

/// Whether it looks like a network boot program.
pub(super) fn is_program(name: &str) -> bool {
    ends_with(name, &PROGRAMS)
}

/// Whether it looks like the image of a disk.
pub(super) fn is_image(name: &str) -> bool {
    ends_with(name, &IMAGES)
}

fn ends_with(name: &str, ends: &[&str]) -> bool {
    let name = name.to_ascii_lowercase();
    ends.iter().any(|end| name.ends_with(end))
}

/// Cuts a name to the stored length.
pub(super) fn stored_name(name: &str) -> String {
    name[..name.floor_char_boundary(MAX_NAME)].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_implies_role_of_file() {
        for name in [
            "boot.ipxe",
            "autoexec.ipxe",
            "boot/autoexec.ipxe",
            "ipxe",
            "grub.cfg",
            "grub/x86_64-efi/grub.cfg",
            "grub/grub.cfg-01-24-6e-96-00-00-01",
            "pxelinux.cfg",
            "pxelinux.cfg/default",
            "bios/pxelinux.cfg/01-24-6e-96-00-00-01",
            "boot.scr.uimg",
        ] {
            assert_eq!(role(name), Some(Role::Script), "{name}");
        }
        assert_eq!(role("hosts/r630-01/config.ign"), Some(Role::File));
        for name in ["okd/kernel", "ipxe.efi", "grubx64.efi", "grub.cfg.d/x", "pxelinux.0", "ipxe/kernel", ""] {
            assert_eq!(role(name), None, "{name}");
        }
    }

    #[test]
    fn entry_script_is_found_in_url() {
        assert!(is_entry("http://boot.lab:8080/boot.ipxe") && is_entry("boot.ipxe") && is_entry("x/autoexec.ipxe"));
        assert!(!is_entry("ipxe") && !is_entry("http://boot.lab/assets/snponly.efi"));
    }

    #[test]
    fn programs_and_images_differ() {
        for name in ["boot/SNPONLY.EFI", "shimx64.efi.signed", "pxelinux.0", "undionly.kpxe", "wdsnbp.com"] {
            assert!(is_program(name) && !is_image(name), "{name}");
        }
        assert!(is_image("isos/x.ISO") && !is_program("isos/x.iso") && !is_program("vmlinuz-6.1.0"));
    }

    #[test]
    fn stored_name_is_cut_between_characters() {
        assert_eq!(stored_name(&"ü".repeat(300)).len(), 200);
        assert_eq!(stored_name(&format!("a{}", "ü".repeat(300))).len(), 199);
    }
}
