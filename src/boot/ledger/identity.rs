//! The identity of a machine: every value that it or the network was seen with.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::boot::mac::Mac;
use crate::boot::machine::Machine;
use crate::boot::settings::Keys;
use crate::boot::uuid::Uuid;

/// The most network cards, and the most addresses, that are kept of one machine: any client can make some up.
const MAX_EACH: usize = 8;

/// Everything that a machine was seen with; for a host that was not seen, the values in its `match`. Texts are the machine's own word.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Identity {
    /// The MACs of its network cards, the last seen first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub macs: Vec<Mac>,
    /// Its IP addresses, the last seen first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<IpAddr>,
    /// Its SMBIOS UUID.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uuid: Option<Uuid>,
    /// Its serial number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub serial: Option<String>,
    /// Its asset tag.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub asset_tag: Option<String>,
    /// The name that DHCP gave it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    /// The processor architecture of its iPXE.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub buildarch: Option<String>,
    /// The firmware of its iPXE: `pcbios` or `efi`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub platform: Option<String>,
    /// If no host matches it: which host nearly does, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub near_miss: Option<String>,
}

impl Identity {
    /// The values in the `match` of a host.
    pub(in crate::boot) fn of_host(keys: &Keys) -> Self {
        let Keys { macs, uuid, serial, asset_tag } = keys.clone();
        Self { macs, uuid, serial, asset_tag, ..Self::default() }
    }

    /// Adds what a request says. Returns the card that is not kept any more, if there are too many.
    pub(super) fn learn(&mut self, machine: &Machine) -> Option<Mac> {
        fn replace<T: Clone>(known: &mut Option<T>, said: Option<&T>) {
            if said.is_some() {
                *known = said.cloned();
            }
        }
        replace(&mut self.uuid, machine.uuid.as_ref());
        replace(&mut self.serial, machine.serial.as_ref());
        replace(&mut self.asset_tag, machine.asset_tag.as_ref());
        replace(&mut self.hostname, machine.hostname.as_ref());
        replace(&mut self.buildarch, machine.buildarch.as_ref());
        replace(&mut self.platform, machine.platform.as_ref());
        machine.mac.and_then(|mac| self.see_mac(mac))
    }

    /// Adds one of its cards. Returns the one that is not kept any more, if there are too many.
    pub(super) fn see_mac(&mut self, mac: Mac) -> Option<Mac> {
        to_front(&mut self.macs, mac)
    }

    /// Adds one of its addresses.
    pub(super) fn see_address(&mut self, address: IpAddr) {
        to_front(&mut self.addresses, address);
    }

    /// Its last address.
    pub(super) fn address(&self) -> Option<IpAddr> {
        self.addresses.first().copied()
    }

    /// Adds what another record of the same machine has.
    pub(super) fn merge(&mut self, other: Self) {
        let Self { macs, addresses, uuid, serial, asset_tag, hostname, buildarch, platform, near_miss: _ } = other;
        let new = |known: &Vec<Mac>, mac: &Mac| !known.contains(mac);
        let macs: Vec<_> = macs.into_iter().filter(|mac| new(&self.macs, mac)).collect();
        self.macs.extend(macs);
        self.macs.truncate(MAX_EACH);
        let addresses: Vec<_> = addresses.into_iter().filter(|address| !self.addresses.contains(address)).collect();
        self.addresses.extend(addresses);
        self.addresses.truncate(MAX_EACH);
        self.uuid = self.uuid.or(uuid);
        self.serial = self.serial.take().or(serial);
        self.asset_tag = self.asset_tag.take().or(asset_tag);
        self.hostname = self.hostname.take().or(hostname);
        self.buildarch = self.buildarch.take().or(buildarch);
        self.platform = self.platform.take().or(platform);
    }
}

/// Moves or adds a value to the front. Returns the last one if there are too many.
fn to_front<T: PartialEq>(known: &mut Vec<T>, value: T) -> Option<T> {
    known.retain(|other| *other != value);
    known.insert(0, value);
    if known.len() > MAX_EACH { known.pop() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identity_keeps_newest_values() {
        let mut identity = Identity::default();
        for number in 0..=8 {
            identity.see_address(IpAddr::from([192, 0, 2, number]));
            assert_eq!(
                identity.see_mac(Mac([2, 0, 0, 0, 0, number])),
                (number == 8).then_some(Mac([2, 0, 0, 0, 0, 0]))
            );
        }
        identity.see_address(IpAddr::from([192, 0, 2, 5]));
        assert_eq!(identity.address(), Some(IpAddr::from([192, 0, 2, 5])));
        assert_eq!((identity.addresses.len(), identity.macs.len()), (8, 8));
        identity.learn(&Machine::from_query("serial=ABC1234&platform=efi"));
        identity.learn(&Machine::from_query("mac=02:00:00:00:00:03&serial=XYZ&uuid="));
        let Identity { serial, platform, macs, .. } = &identity;
        assert_eq!(
            (serial.as_deref(), platform.as_deref(), macs[0]),
            (Some("XYZ"), Some("efi"), Mac([2, 0, 0, 0, 0, 3]))
        );
    }
}
