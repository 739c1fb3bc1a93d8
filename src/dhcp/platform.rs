//! What kinds of firmware there are: a processor, and the way it boots.

/// A kind of firmware that can be given a boot file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
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
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Bios,
        Self::EfiIa32,
        Self::EfiX64,
        Self::EfiArm32,
        Self::EfiArm64,
        Self::HttpIa32,
        Self::HttpX64,
        Self::HttpArm32,
        Self::HttpArm64,
    ];

    /// The platform of an architecture type (DHCP option 93).
    pub fn of(architecture: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|platform| platform.architectures().contains(&architecture))
    }

    /// Its architecture types, as IANA's registry "Processor Architecture Types" (RFC 5970 3.3) has them.
    ///
    /// RFC 4578 2.1 had 7 as "EFI BC" and 9 as "EFI x86-64"; an erratum swapped them, and firmware of both beliefs is in
    /// use on x86-64.
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
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bios => "bios",
            Self::EfiIa32 => "efi-ia32",
            Self::EfiX64 => "efi-x64",
            Self::EfiArm32 => "efi-arm32",
            Self::EfiArm64 => "efi-arm64",
            Self::HttpIa32 => "http-ia32",
            Self::HttpX64 => "http-x64",
            Self::HttpArm32 => "http-arm32",
            Self::HttpArm64 => "http-arm64",
        }
    }

    /// What people call it.
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

    /// The boot file that it is given unless the settings name another.
    ///
    /// On UEFI, iPXE with the firmware's own network driver: iPXE's drivers and some cards of Dell's 13th generation do
    /// not get on.
    pub const fn default_file(self) -> &'static str {
        match self {
            Self::Bios => "undionly.kpxe",
            Self::EfiIa32 | Self::HttpIa32 => "snponly-ia32.efi",
            Self::EfiX64 | Self::HttpX64 => "snponly.efi",
            Self::EfiArm32 | Self::HttpArm32 => "snponly-arm32.efi",
            Self::EfiArm64 | Self::HttpArm64 => "snponly-arm64.efi",
        }
    }

    /// Whether it fetches its boot file over HTTP, and so wants a URL.
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
    fn each_architecture_is_of_one_platform() {
        for platform in Platform::ALL {
            for architecture in platform.architectures() {
                assert_eq!(Platform::of(*architecture), Some(platform));
            }
        }
        for other in [1, 2, 8, 12, 17, 20, 27, u16::MAX] {
            assert_eq!(Platform::of(other), None);
        }
    }
}
