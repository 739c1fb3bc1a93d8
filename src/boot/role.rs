//! The role of a file in a boot.

use serde::{Deserialize, Serialize};
use strum::{IntoStaticStr, VariantNames};

/// The role of a file, or a DHCP answer, in a boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, IntoStaticStr, VariantNames)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum Role {
    /// A DHCP answer.
    Dhcp,
    /// The firmware's first file.
    Nbp,
    /// A script or a GRUB configuration.
    Script,
    /// The kernel.
    Kernel,
    /// An initramfs.
    Initrd,
    /// Another asset that its script named: a root file system, an ISO.
    Asset,
    /// A file that was made for the host.
    File,
    /// No file: another address that the script of the machine was sent to.
    Address,
}

impl Role {
    /// The word for it in tables and JSON.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}
