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

const U_BOOT: &str = "/usr/lib/u-boot/qemu_arm64/u-boot.bin";

/// A machine of this architecture.
const ARM: [&str; 4] = ["-machine", "virt", "-cpu", "cortex-a57"];

/// The firmware of a machine, and how it boots.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Firmware {
    /// A BIOS with the PXE ROM of QEMU's network card. The ROM is iPXE and identifies itself in its first DHCP request.
    Bios,
    /// OVMF by PXE. It gets a file name by DHCP, requests its size by TFTP, cancels that transfer and requests the file.
    Pxe,
    /// OVMF by PXE over IPv6 alone.
    PxeIpv6,
    /// OVMF by HTTP Boot.
    Http,
    /// OVMF by PXE, with Secure Boot and Microsoft's keys.
    Secure,
    /// OVMF of the newer Debian, by PXE.
    NewPxe,
    /// An ARM64 machine, by PXE.
    ArmPxe,
    /// An ARM64 machine with U-Boot in place of UEFI. It waits for commands.
    UBoot,
}

impl Firmware {
    /// The program that runs a machine with it.
    pub(super) const fn qemu(self) -> &'static str {
        match self {
            Self::ArmPxe | Self::UBoot => "qemu-system-aarch64",
            _ => "qemu-system-x86_64",
        }
    }

    /// Returns QEMU's arguments for it, with a copy of its variables in this file. `None` if it is missing: the test is skipped.
    pub(super) fn args(self, variables: &Path) -> Option<Vec<String>> {
        // System management mode protects the keys. Only this firmware uses it.
        let machine = match self {
            Self::Bios => return Some(Vec::new()),
            Self::Pxe | Self::PxeIpv6 | Self::Http | Self::NewPxe => ["-machine", "q35"].as_slice(),
            Self::Secure => &["-machine", "q35,smm=on", "-global", "driver=cfi.pflash01,property=secure,value=on"],
            Self::ArmPxe => ARM.as_slice(),
            Self::UBoot => {
                let program = ["-bios", Tool::file(U_BOOT)?.to_str().expect("the path is text")];
                return Some(ARM.into_iter().chain(program).map(str::to_owned).collect());
            }
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
        // The first in the boot order is PXE over IPv4, then over IPv6, then HTTP Boot. PXE gives up after a minute without a reply.
        let off = match self {
            Self::PxeIpv6 => [4].as_slice(),
            Self::Http => &[4, 6],
            _ => &[],
        };
        for version in off {
            args.extend(["-fw_cfg".to_owned(), format!("name=opt/org.tianocore/IPv{version}PXESupport,string=no")]);
        }
        Some(args)
    }

    /// Its code and its default variables.
    fn files(self) -> [Option<PathBuf>; 2] {
        let old = |path| Tool::file(path).map(Path::to_owned);
        match self {
            Self::Bios | Self::UBoot => [None, None],
            Self::Pxe | Self::PxeIpv6 | Self::Http => OVMF.map(old),
            Self::Secure => OVMF_SECURE.map(old),
            Self::NewPxe => OVMF_NEW.map(newer_debian::file),
            Self::ArmPxe => AAVMF_NEW.map(newer_debian::file),
        }
    }
}
