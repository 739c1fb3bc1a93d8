//! The values that match a machine to a host.

use std::fmt;

use crate::boot::mac::Mac;
use crate::boot::machine::{Machine, can_identify, folded};
use crate::boot::settings::Keys;
use crate::boot::uuid::Uuid;

/// One value that identifies a host.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(in crate::boot) enum MatchKey {
    Mac(Mac),
    Uuid(Uuid),
    Serial(String),
    AssetTag(String),
}

impl MatchKey {
    /// Returns the keys of a host, each with its setting in `match`.
    pub(in crate::boot) fn of_host(keys: &Keys) -> impl Iterator<Item = (Self, &'static str)> {
        let macs = keys.macs.iter().map(|mac| (Self::Mac(*mac), "mac"));
        let uuid = keys.uuid.map(|uuid| (Self::Uuid(uuid), "uuid"));
        let serial = keys.serial.as_deref().map(|serial| (Self::Serial(folded(serial)), "serial"));
        let asset_tag = keys.asset_tag.as_deref().map(|tag| (Self::AssetTag(folded(tag)), "asset_tag"));
        macs.chain(uuid).chain(serial).chain(asset_tag)
    }

    /// Returns the keys of a machine, the most reliable first. A replacement board may carry over its serial number, but the
    /// network card that boots is the one that the switch and the operator know.
    pub(super) fn of_machine(machine: &Machine) -> impl Iterator<Item = Self> {
        let mac = machine.mac.map(Self::Mac);
        let uuid = machine.uuid.map(Self::Uuid);
        let serial = machine.serial.as_deref().map(|serial| Self::Serial(folded(serial)));
        let asset_tag = machine.asset_tag.as_deref().map(|tag| Self::AssetTag(folded(tag)));
        [mac, uuid, serial, asset_tag].into_iter().flatten()
    }

    /// The kind of value: `serial number`.
    pub(super) fn noun(&self) -> &'static str {
        match self {
            Self::Mac(_) => "MAC address",
            Self::Uuid(_) => "UUID",
            Self::Serial(_) => "serial number",
            Self::AssetTag(_) => "asset tag",
        }
    }

    /// Whether a machine can have this key. Values that stand for "none", and vendors' placeholders, match no machine.
    pub(in crate::boot) fn can_match(&self) -> bool {
        match self {
            Self::Mac(mac) => mac.is_real(),
            Self::Uuid(uuid) => uuid.is_real(),
            Self::Serial(text) | Self::AssetTag(text) => can_identify(text),
        }
    }
}

impl fmt::Display for MatchKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let noun = self.noun();
        match self {
            Self::Mac(mac) => write!(f, "the {noun} {mac}"),
            Self::Uuid(uuid) => write!(f, "the {noun} {uuid}"),
            Self::Serial(text) | Self::AssetTag(text) => write!(f, "the {noun} {text:?}"),
        }
    }
}
