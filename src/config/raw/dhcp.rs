//! `[dhcp]`, as operators write it.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::dhcp::Platform;

/// The pattern of keys that are numbers of 16 bits, in `patternProperties` of the schema.
pub(in crate::config) const NUMBERS: &str = "^[0-9]{1,5}$";

/// DHCP answers that name the network boot program.
#[derive(Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct Dhcp {
    /// Whether to answer DHCP requests of firmware for a network boot program.
    pub(in crate::config) mode: Mode,
    /// Network interface to listen and answer on, such as `eno1`. Required unless `mode` is `off`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub(in crate::config) interface: Option<String>,
    /// Also answer requests that DHCP relays send to this machine's own address. Do not use it beside a DHCP server on
    /// the same machine, which would miss its clients' lease renewals.
    pub(in crate::config) relays: bool,
    /// The network boot program of each kind of firmware: a key of `[tftp.files]` or an asset's name. A kind whose file
    /// is neither is not answered. A key may also be the number of an architecture (DHCP option 93), which takes precedence:
    /// `22 = "boot/u-boot.bin"`. `dhcp-config` writes the files, but not those of numbers, into the configuration of other
    /// DHCP servers.
    pub(in crate::config) nbp: Nbp,
}

/// Whether to answer DHCP requests of firmware for a network boot program.
#[derive(Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(in crate::config) enum Mode {
    /// Do not answer; the DHCP server may name the network boot program.
    #[default]
    Off,
    /// Answer beside a DHCP server that assigns the addresses, on ports 67 and 4011 (proxyDHCP).
    Proxy,
}

/// The network boot program of each kind of firmware.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "kebab-case")]
#[schemars(transform = allow_numbers)]
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
    /// By the number of an architecture (DHCP option 93). The schema allows no other keys than numbers.
    #[serde(flatten)]
    #[schemars(skip)]
    numbers: BTreeMap<String, String>,
}

/// Allows the numbers of architectures as keys besides the named ones.
fn allow_numbers(schema: &mut schemars::Schema) {
    schema.insert("patternProperties".to_owned(), json!({ NUMBERS: { "type": "string", "minLength": 1 } }));
    schema.insert("additionalProperties".to_owned(), json!(false));
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
            numbers: BTreeMap::new(),
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

    /// The files by the number of an architecture.
    pub(in crate::config) fn numbers(&self) -> impl Iterator<Item = (u16, &str)> {
        self.numbers.iter().filter_map(|(number, file)| Some((number.parse().ok()?, file.as_str())))
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
