//! The IPv4 addresses of this machine's network interfaces.

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, Socket, Type};
use tracing::{info, warn};

/// How long the addresses of an interface are cached: on a machine with many interfaces the system needs milliseconds to
/// list them.
const CACHE_TIME: Duration = Duration::from_secs(1);

/// An IPv4 address of an interface, with the mask of its network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InterfaceAddress {
    /// The address.
    pub address: Ipv4Addr,
    /// The network mask.
    pub mask: Ipv4Addr,
}

impl InterfaceAddress {
    /// Whether `other` is in this address's network.
    pub fn contains(&self, other: Ipv4Addr) -> bool {
        let network = |address: Ipv4Addr| address.to_bits() & self.mask.to_bits();
        network(self.address) == network(other)
    }

    /// Chooses the address that a client at `client` should use: the one that it `named`, else the one whose network it is
    /// in, else the first, which is the primary one. `None` if there are no addresses.
    ///
    /// A client keeps to the server whose offer it accepted, even if it has since got an address in another network.
    pub fn choose(addresses: &[Self], client: Ipv4Addr, named: Option<Ipv4Addr>) -> Option<Self> {
        let named = addresses.iter().find(|ours| Some(ours.address) == named);
        named.or_else(|| addresses.iter().find(|ours| ours.contains(client))).or(addresses.first()).copied()
    }
}

/// The IPv4 addresses of an interface, in the order of the system. Without a name, those of all interfaces but the
/// loopback.
pub fn interface_addresses(interface: Option<&str>) -> io::Result<Vec<InterfaceAddress>> {
    let selected = |found: &if_addrs::Interface| match interface {
        // An alias such as eth0:1 belongs to the interface too.
        Some(name) => found.name.split(':').next() == Some(name),
        None => !found.is_loopback(),
    };
    let address = |found: &if_addrs::Interface| match (&found.addr, found.ip()) {
        (if_addrs::IfAddr::V4(of), IpAddr::V4(address)) => Some(InterfaceAddress { address, mask: of.netmask }),
        _ => None,
    };
    Ok(if_addrs::get_if_addrs()?.iter().filter(|found| selected(found)).filter_map(address).collect())
}

/// The names of the interfaces that have an IPv4 address.
pub fn interfaces_with_ipv4() -> Vec<String> {
    let found = if_addrs::get_if_addrs().unwrap_or_default();
    let mut names: Vec<_> = found.into_iter().filter(|found| found.ip().is_ipv4()).map(|found| found.name).collect();
    names.dedup();
    names
}

/// Whether an interface of this name exists. True if the system does not say: binding to it then fails.
pub(super) fn interface_exists(interface: &str) -> bool {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM.cloexec(), Some(Protocol::UDP));
    let index = socket.map(|socket| rustix::net::netdevice::name_to_index(&socket, interface));
    !matches!(index, Ok(Err(rustix::io::Errno::NODEV)))
}

/// The cached addresses of one interface.
#[derive(Default)]
pub(super) struct AddressCache {
    addresses: Vec<InterfaceAddress>,
    read_at: Option<Instant>,
    /// The log says that there is no address.
    logged_missing: bool,
}

impl AddressCache {
    /// The addresses of the interface, at most one second old. Calls `read` to refresh them.
    pub(super) fn get(
        &mut self,
        interface: &str,
        now: Instant,
        read: impl FnOnce() -> io::Result<Vec<InterfaceAddress>>,
    ) -> &[InterfaceAddress] {
        if self.read_at.is_none_or(|at| now.saturating_duration_since(at) >= CACHE_TIME) {
            let found = read();
            let error = found.as_ref().err().map(ToString::to_string);
            self.addresses = found.unwrap_or_default();
            self.read_at = Some(now);
            let missing = self.addresses.is_empty();
            if missing && !self.logged_missing {
                warn!(interface, error, "interface has no IPv4 address; DHCP requests are not answered");
            } else if self.logged_missing && !missing {
                info!(interface, "interface has an IPv4 address again; DHCP requests are answered");
            }
            self.logged_missing = missing;
        }
        &self.addresses
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn client_gets_address_in_its_network() {
        let of = |address: [u8; 4]| InterfaceAddress { address: address.into(), mask: [255, 255, 255, 0].into() };
        let ours = [of([10, 0, 0, 1]), of([10, 0, 1, 1])];
        let choose = |client: [u8; 4]| InterfaceAddress::choose(&ours, client.into(), None).unwrap().address;
        assert_eq!(choose([10, 0, 1, 77]), Ipv4Addr::new(10, 0, 1, 1));
        assert_eq!(choose([10, 0, 0, 77]), Ipv4Addr::new(10, 0, 0, 1));
        assert_eq!(choose([0, 0, 0, 0]), Ipv4Addr::new(10, 0, 0, 1), "the first, for a client without an address");
        let named = |server: [u8; 4]| {
            InterfaceAddress::choose(&ours, [10, 0, 1, 77].into(), Some(server.into())).map(|ours| ours.address)
        };
        assert_eq!(named([10, 0, 0, 1]), Some(ours[0].address), "the client keeps to the server that it named");
        assert_eq!(named([10, 0, 0, 2]), Some(ours[1].address), "the name of another server is ignored");
        assert_eq!(InterfaceAddress::choose(&[], Ipv4Addr::UNSPECIFIED, None), None);
    }

    #[test]
    fn loopback_interface_has_its_address() {
        let found = interface_addresses(Some("lo")).unwrap();
        assert!(found.iter().any(|ours| ours.address == Ipv4Addr::LOCALHOST), "{found:?}");
        assert_eq!(interface_addresses(Some("no-such-one")).unwrap(), []);
    }

    #[test]
    fn missing_interface_does_not_exist() {
        assert!(interface_exists("lo") && !interface_exists("no-such-one"));
    }

    #[test]
    fn addresses_are_read_once_per_second() {
        let mut cache = AddressCache::default();
        let begin = Instant::now();
        let ours = InterfaceAddress { address: Ipv4Addr::new(10, 0, 0, 1), mask: Ipv4Addr::new(255, 0, 0, 0) };
        let mut reads = 0;
        let mut after = |millis, found: io::Result<Vec<InterfaceAddress>>| {
            let read = || {
                reads += 1;
                found
            };
            cache.get("eno1", begin + Duration::from_millis(millis), read).to_vec()
        };
        assert_eq!(after(0, Ok(vec![ours])), [ours]);
        assert_eq!(after(999, Ok(Vec::new())), [ours]);
        assert_eq!(after(1000, Err(io::ErrorKind::OutOfMemory.into())), []);
        assert_eq!(after(2000, Ok(vec![ours])), [ours], "the interface has an address again");
        assert_eq!(reads, 3);
    }
}
