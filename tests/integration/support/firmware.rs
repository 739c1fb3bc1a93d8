//! The firmware of virtual machines, and how it boots.

use std::path::{Path, PathBuf};

use super::{Tool, newer_debian};

/// OVMF and its default variables.
const OVMF: [&str; 2] = ["/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd"];
/// OVMF with Secure Boot, and variables with Microsoft's keys.
const OVMF_SECURE: [&str; 2] = ["/usr/share/OVMF/OVMF_CODE_4M.ms.fd", "/usr/share/OVMF/OVMF_VARS_4M.ms.fd"];
/// OVMF of the newer Debian.
const OVMF_NEW: [&str; 2] = ["usr/share/OVMF/OVMF_CODE_4M.fd", "usr/share/OVMF/OVMF_VARS_4M.fd"];
/// The same firmware for ARM64, of the newer Debian.
const AAVMF_NEW: [&str; 2] = ["usr/share/AAVMF/AAVMF_CODE.no-secboot.fd", "usr/share/AAVMF/AAVMF_VARS.fd"];

/// The firmware of a machine, and how it boots.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Firmware {
    /// A BIOS with the PXE ROM of QEMU's network card. The ROM is iPXE and identifies itself in its first DHCP request.
    Bios,
    /// OVMF by PXE. It gets a file name by DHCP, requests its size by TFTP, cancels that transfer and requests the file.
    Pxe,
    /// OVMF by HTTP Boot.
    Http,
    /// OVMF by PXE, with Secure Boot and Microsoft's keys.
    Secure,
    /// OVMF of the newer Debian, by PXE.
    NewPxe,
    /// An ARM64 machine, by PXE.
    ArmPxe,
}

impl Firmware {
    /// The program that runs a machine with it.
    pub(super) const fn qemu(self) -> &'static str {
        match self {
            Self::ArmPxe => "qemu-system-aarch64",
            _ => "qemu-system-x86_64",
        }
    }

    /// Returns QEMU's arguments for it, with a copy of its variables in this file. `None` if it is missing: the test is skipped.
    pub(super) fn args(self, variables: &Path) -> Option<Vec<String>> {
        // System management mode protects the keys. Only this firmware uses it.
        let machine = match self {
            Self::Bios => return Some(Vec::new()),
            Self::Pxe | Self::Http | Self::NewPxe => ["-machine", "q35"].as_slice(),
            Self::Secure => &["-machine", "q35,smm=on", "-global", "driver=cfi.pflash01,property=secure,value=on"],
            Self::ArmPxe => &["-machine", "virt", "-cpu", "cortex-a57"],
        };
        let [Some(code), Some(defaults)] = self.files() else { return None };
        // The files of a package may be read-only.
        std::fs::write(variables, std::fs::read(defaults).expect("the file can be read"))
            .expect("a file can be written");
        let code = format!("if=pflash,format=raw,readonly=on,file={}", code.display());
        let variables = format!("if=pflash,format=raw,file={}", variables.display());
        // Newer firmware has no network without a random number generator.
        let parts = ["-drive", &code, "-drive", &variables, "-device", "virtio-rng-pci"];
        let mut args: Vec<_> = machine.iter().chain(&parts).map(|arg| (*arg).to_owned()).collect();
        if self == Self::Http {
            // HTTP Boot comes after PXE in the boot order, and PXE gives up only after a minute without a reply.
            for version in [4, 6] {
                args.extend(["-fw_cfg".to_owned(), format!("name=opt/org.tianocore/IPv{version}PXESupport,string=no")]);
            }
        }
        Some(args)
    }

    /// Its code and its default variables.
    fn files(self) -> [Option<PathBuf>; 2] {
        let old = |path| Tool::file(path).map(Path::to_owned);
        match self {
            Self::Bios => [None, None],
            Self::Pxe | Self::Http => OVMF.map(old),
            Self::Secure => OVMF_SECURE.map(old),
            Self::NewPxe => OVMF_NEW.map(newer_debian::file),
            Self::ArmPxe => AAVMF_NEW.map(newer_debian::file),
        }
    }
}
