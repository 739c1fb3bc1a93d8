//! The kinds of firmware: a processor architecture and a boot method.

use strum::{IntoStaticStr, VariantArray};

/// A kind of firmware that can boot from the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "kebab-case")]
pub enum Platform {
    /// An x86 BIOS with PXE.
    Bios,
    /// UEFI PXE on 32-bit x86.
    EfiIa32,
    /// UEFI PXE on x86-64.
    EfiX64,
    /// UEFI PXE on 32-bit ARM.
    EfiArm32,
    /// UEFI PXE on 64-bit ARM.
    EfiArm64,
    /// UEFI HTTP Boot on 32-bit x86.
    HttpIa32,
    /// UEFI HTTP Boot on x86-64.
    HttpX64,
    /// UEFI HTTP Boot on 32-bit ARM.
    HttpArm32,
    /// UEFI HTTP Boot on 64-bit ARM.
    HttpArm64,
}

impl Platform {
    /// All platforms.
    pub const ALL: &'static [Self] = Self::VARIANTS;

    /// The platform of an architecture type (DHCP option 93), if it is known.
    pub fn from_architecture(architecture: u16) -> Option<Self> {
        Self::ALL.iter().copied().find(|platform| platform.architectures().contains(&architecture))
    }

    /// Its architecture types in IANA's registry "Processor Architecture Types" (RFC 5970 3.3).
    ///
    /// RFC 4578 2.1 lists 7 as "EFI BC" and 9 as "EFI x86-64". An erratum swapped them, and x86-64 firmware uses both.
    pub const fn architectures(self) -> &'static [u16] {
        match self {
            Self::Bios => &[0],
            Self::EfiIa32 => &[6],
            Self::EfiX64 => &[7, 9],
            Self::EfiArm32 => &[10],
            Self::EfiArm64 => &[11],
            Self::HttpIa32 => &[15],
            Self::HttpX64 => &[16],
            Self::HttpArm32 => &[18],
            Self::HttpArm64 => &[19],
        }
    }

    /// Its name in settings, logs and metrics.
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// Its name for people.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Bios => "BIOS",
            Self::EfiIa32 => "UEFI PXE, 32-bit x86",
            Self::EfiX64 => "UEFI PXE, x86-64",
            Self::EfiArm32 => "UEFI PXE, 32-bit ARM",
            Self::EfiArm64 => "UEFI PXE, 64-bit ARM",
            Self::HttpIa32 => "UEFI HTTP Boot, 32-bit x86",
            Self::HttpX64 => "UEFI HTTP Boot, x86-64",
            Self::HttpArm32 => "UEFI HTTP Boot, 32-bit ARM",
            Self::HttpArm64 => "UEFI HTTP Boot, 64-bit ARM",
        }
    }

    /// Its boot file unless the configuration names another.
    ///
    /// On UEFI it is iPXE with the network driver of the firmware: iPXE's own drivers fail on some network cards of Dell's
    /// 13th generation.
    pub const fn default_file(self) -> &'static str {
        match self {
            Self::Bios => "undionly.kpxe",
            Self::EfiIa32 | Self::HttpIa32 => "snponly-ia32.efi",
            Self::EfiX64 | Self::HttpX64 => "snponly.efi",
            Self::EfiArm32 | Self::HttpArm32 => "snponly-arm32.efi",
            Self::EfiArm64 | Self::HttpArm64 => "snponly-arm64.efi",
        }
    }

    /// Whether it fetches its boot file over HTTP, so that the file name is a URL.
    pub const fn boots_over_http(self) -> bool {
        matches!(self, Self::HttpIa32 | Self::HttpX64 | Self::HttpArm32 | Self::HttpArm64)
    }

    /// Whether it is UEFI PXE.
    pub const fn is_efi_pxe(self) -> bool {
        matches!(self, Self::EfiIa32 | Self::EfiX64 | Self::EfiArm32 | Self::EfiArm64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_architecture_has_one_platform() {
        for platform in Platform::ALL.iter().copied() {
            for architecture in platform.architectures() {
                assert_eq!(Platform::from_architecture(*architecture), Some(platform));
            }
        }
        for other in [1, 2, 8, 12, 17, 20, 27, u16::MAX] {
            assert_eq!(Platform::from_architecture(other), None);
        }
    }

    #[test]
    fn platform_names_are_kebab_case() {
        let names: Vec<_> = Platform::ALL.iter().map(|platform| platform.name()).collect();
        let uefi = ["ia32", "x64", "arm32", "arm64"];
        let expected: Vec<String> = std::iter::once("bios".to_owned())
            .chain(uefi.map(|arch| format!("efi-{arch}")))
            .chain(uefi.map(|arch| format!("http-{arch}")))
            .collect();
        assert_eq!(names, expected);
    }
}
