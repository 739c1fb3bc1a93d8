//! What a step of a boot is for, and how far a boot is that has come to it.

use serde::{Deserialize, Serialize};
use strum::{IntoStaticStr, VariantNames};

/// What a step of a boot is for.
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
}

/// How far a boot has come, in the order in which machines go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Stage {
    /// DHCP told it what to boot.
    Dhcp,
    /// The firmware fetches its first file.
    Nbp,
    /// It asks what to boot.
    Script,
    /// It fetches what it boots.
    Payload,
}

impl Role {
    /// The word for it in tables and JSON.
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    /// The stage of a boot in which such a step is taken.
    pub(super) fn stage(self) -> Stage {
        match self {
            Self::Dhcp => Stage::Dhcp,
            Self::Nbp => Stage::Nbp,
            Self::Script => Stage::Script,
            Self::Kernel | Self::Initrd | Self::Asset | Self::File => Stage::Payload,
        }
    }
}
