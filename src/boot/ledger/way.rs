//! The ways in which firmware starts a boot from the network.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::depot::Protocol;

/// One way: PXE (TFTP) or HTTP Boot, over IPv4 or IPv6. Firmware tries them one after the other in one power-on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Way {
    bit: u8,
}

/// Ways that were tried.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Ways(u8);

impl Way {
    /// The way of a transfer.
    pub(super) fn of(protocol: Protocol, peer: IpAddr) -> Self {
        let http = u8::from(protocol == Protocol::Http);
        let ipv6 = u8::from(peer.to_canonical().is_ipv6());
        Self { bit: 1 << (2 * http + ipv6) }
    }

    /// The way that a DHCP answer names. The DHCP server of this program serves IPv4 only.
    pub(super) fn of_offer(file: &str) -> Self {
        Self { bit: if file.starts_with("http:") || file.starts_with("https:") { 4 } else { 1 } }
    }
}

impl Ways {
    /// Adds a way.
    pub(super) fn add(&mut self, way: Way) {
        self.0 |= way.bit;
    }

    /// Adds all of `other`.
    pub(super) fn merge(&mut self, other: Self) {
        self.0 |= other.0;
    }

    /// Whether another way was tried, and this one was not.
    pub(super) fn is_new(self, way: Way) -> bool {
        self.0 != 0 && self.0 & way.bit == 0
    }

    /// One of the ways; `None` if there is none.
    pub(super) fn any(self) -> Option<Way> {
        (self.0 != 0).then(|| Way { bit: self.0 & self.0.wrapping_neg() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ways_differ_by_protocol_and_family() {
        let way = |protocol, peer: &str| Way::of(protocol, peer.parse().unwrap());
        let mut ways = Ways::default();
        assert!(!ways.is_new(way(Protocol::Tftp, "192.0.2.7")), "it is the first");
        ways.add(way(Protocol::Tftp, "::ffff:192.0.2.7"));
        assert!(!ways.is_new(way(Protocol::Tftp, "192.0.2.7")) && !ways.is_new(Way::of_offer("snponly.efi")));
        for other in [
            way(Protocol::Tftp, "2001:db8::7"),
            way(Protocol::Http, "192.0.2.7"),
            way(Protocol::Http, "2001:db8::7"),
            Way::of_offer("http://boot.lab/assets/x.efi"),
        ] {
            assert!(ways.is_new(other), "{other:?}");
        }
        assert_eq!(ways.any(), Some(way(Protocol::Tftp, "192.0.2.7")));
    }
}
