//! `[dhcp]`, as people write it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::dhcp::Platform;

/// Telling firmware which file to boot.
#[derive(Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct Dhcp {
    /// Whether to answer firmware that asks by DHCP for a boot file.
    pub(in crate::config) mode: Mode,
    /// The network interface to hear and to answer on, such as `eno1`. Needed where `mode` is not `off`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub(in crate::config) interface: Option<String>,
    /// Answer what DHCP relays send to this machine's own address, too. Not beside a DHCP server on the same machine: it
    /// would miss what its clients send to it to renew their leases.
    pub(in crate::config) relays: bool,
    /// The boot file of each kind of firmware: a key of `[tftp.files]` or an asset's name. A kind whose file is neither is
    /// not answered. `dhcp-config` writes the same files into other DHCP servers' settings.
    pub(in crate::config) nbp: Nbp,
}

/// Whether to answer firmware that asks by DHCP for a boot file.
#[derive(Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(in crate::config) enum Mode {
    /// The DHCP server names the boot file, or nobody does.
    #[default]
    Off,
    /// Beside a DHCP server that gives the addresses, on ports 67 and 4011 (proxyDHCP).
    Proxy,
}

/// The boot file of each kind of firmware.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(in crate::config) struct Nbp {
    /// x86 BIOS.
    #[schemars(length(min = 1))]
    bios: String,
    /// UEFI PXE, 32-bit x86.
    #[schemars(length(min = 1))]
    efi_ia32: String,
    /// UEFI PXE, x86-64.
    #[schemars(length(min = 1))]
    efi_x64: String,
    /// UEFI PXE, 32-bit ARM.
    #[schemars(length(min = 1))]
    efi_arm32: String,
    /// UEFI PXE, 64-bit ARM.
    #[schemars(length(min = 1))]
    efi_arm64: String,
    /// UEFI HTTP Boot, 32-bit x86.
    #[schemars(length(min = 1))]
    http_ia32: String,
    /// UEFI HTTP Boot, x86-64.
    #[schemars(length(min = 1))]
    http_x64: String,
    /// UEFI HTTP Boot, 32-bit ARM.
    #[schemars(length(min = 1))]
    http_arm32: String,
    /// UEFI HTTP Boot, 64-bit ARM.
    #[schemars(length(min = 1))]
    http_arm64: String,
}

impl Default for Nbp {
    fn default() -> Self {
        let file = |platform: Platform| platform.default_file().to_owned();
        Self {
            bios: file(Platform::Bios),
            efi_ia32: file(Platform::EfiIa32),
            efi_x64: file(Platform::EfiX64),
            efi_arm32: file(Platform::EfiArm32),
            efi_arm64: file(Platform::EfiArm64),
            http_ia32: file(Platform::HttpIa32),
            http_x64: file(Platform::HttpX64),
            http_arm32: file(Platform::HttpArm32),
            http_arm64: file(Platform::HttpArm64),
        }
    }
}

impl Nbp {
    /// The file of a platform.
    pub(in crate::config) fn of(&self, platform: Platform) -> &str {
        match platform {
            Platform::Bios => &self.bios,
            Platform::EfiIa32 => &self.efi_ia32,
            Platform::EfiX64 => &self.efi_x64,
            Platform::EfiArm32 => &self.efi_arm32,
            Platform::EfiArm64 => &self.efi_arm64,
            Platform::HttpIa32 => &self.http_ia32,
            Platform::HttpX64 => &self.http_x64,
            Platform::HttpArm32 => &self.http_arm32,
            Platform::HttpArm64 => &self.http_arm64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_keys_are_the_platforms_names() {
        let written = serde_json::to_value(Nbp::default()).unwrap();
        for platform in Platform::ALL.iter().copied() {
            assert_eq!(written[platform.name()], platform.default_file());
            assert_eq!(Nbp::default().of(platform), platform.default_file());
        }
        assert_eq!(written.as_object().unwrap().len(), Platform::ALL.len());
    }
}
