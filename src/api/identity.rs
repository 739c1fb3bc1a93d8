//! The identity of a machine.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::text;
use crate::boot::{Identity, Mac, Uuid};

/// Everything that a machine was seen with; for a host that was not seen yet, the values in its `match`. Texts are the machine's own word.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct IdentityView {
    /// The MACs of its network cards, the last seen first.
    #[serde(with = "text::list")]
    #[schema(value_type = Vec<String>)]
    pub macs: Vec<Mac>,
    /// Its IP addresses, the last seen first.
    #[schema(value_type = Vec<String>)]
    pub addresses: Vec<IpAddr>,
    /// Its SMBIOS UUID.
    #[serde(with = "text::optional")]
    #[schema(value_type = Option<String>)]
    pub uuid: Option<Uuid>,
    /// Its serial number.
    pub serial: Option<String>,
    /// Its asset tag.
    pub asset_tag: Option<String>,
    /// The name that DHCP gave it.
    pub hostname: Option<String>,
    /// The processor architecture of its iPXE.
    pub buildarch: Option<String>,
    /// The firmware of its iPXE: `pcbios` or `efi`.
    pub platform: Option<String>,
    /// If no host matches it: which host nearly does, in words.
    pub near_miss: Option<String>,
}

impl From<Identity> for IdentityView {
    fn from(identity: Identity) -> Self {
        let Identity { macs, addresses, uuid, serial, asset_tag, hostname, buildarch, platform, near_miss } = identity;
        Self { macs, addresses, uuid, serial, asset_tag, hostname, buildarch, platform, near_miss }
    }
}
