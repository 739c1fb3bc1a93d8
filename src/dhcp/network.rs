//! The addresses of this machine's network interfaces.

use std::io;
use std::net::{IpAddr, Ipv4Addr};

/// An address of ours and the network it is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    /// The address.
    pub address: Ipv4Addr,
    /// The network's mask.
    pub mask: Ipv4Addr,
}

impl Network {
    /// Whether `other` is in this network.
    pub fn holds(&self, other: Ipv4Addr) -> bool {
        let network = |address: Ipv4Addr| address.to_bits() & self.mask.to_bits();
        network(self.address) == network(other)
    }

    /// Of `networks`, the one to use towards a client at `client`: the one it is in, else the first, which is the
    /// interface's primary one.
    pub fn towards(networks: &[Self], client: Ipv4Addr) -> Option<Self> {
        networks.iter().find(|network| network.holds(client)).or(networks.first()).copied()
    }
}

/// The IPv4 addresses of an interface, in the system's order; of every one but the loopback, where none is named.
pub fn addresses_of(interface: Option<&str>) -> io::Result<Vec<Network>> {
    let wanted = |found: &if_addrs::Interface| match interface {
        // An alias such as eth0:1 is the interface's too.
        Some(name) => found.name.split(':').next() == Some(name),
        None => !found.is_loopback(),
    };
    let network = |found: &if_addrs::Interface| match (&found.addr, found.ip()) {
        (if_addrs::IfAddr::V4(of), IpAddr::V4(address)) => Some(Network { address, mask: of.netmask }),
        _ => None,
    };
    Ok(if_addrs::get_if_addrs()?.iter().filter(|found| wanted(found)).filter_map(network).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_told_the_address_in_its_own_network() {
        let of = |address: [u8; 4]| Network { address: address.into(), mask: [255, 255, 255, 0].into() };
        let ours = [of([10, 0, 0, 1]), of([10, 0, 1, 1])];
        let towards = |client: [u8; 4]| Network::towards(&ours, client.into()).unwrap().address;
        assert_eq!(towards([10, 0, 1, 77]), Ipv4Addr::new(10, 0, 1, 1));
        assert_eq!(towards([10, 0, 0, 77]), Ipv4Addr::new(10, 0, 0, 1));
        assert_eq!(towards([0, 0, 0, 0]), Ipv4Addr::new(10, 0, 0, 1), "one without an address hears the first");
        assert_eq!(Network::towards(&[], Ipv4Addr::UNSPECIFIED), None);
    }

    #[test]
    fn the_loopback_has_its_address() {
        let found = addresses_of(Some("lo")).unwrap();
        assert!(found.iter().any(|network| network.address == Ipv4Addr::LOCALHOST), "{found:?}");
        assert_eq!(addresses_of(Some("no-such-one")).unwrap(), []);
    }
}
