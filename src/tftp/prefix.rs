//! The network prefix of an address: the unit in which a network assigns addresses, and a forger chooses them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The first address of the prefix of `address`: 24 bits of IPv4, 64 bits of IPv6 (RFC 4291 2.5.1).
pub(super) fn prefix_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(ip) => Ipv4Addr::from(u32::from(ip) & (u32::MAX << 8)).into(),
        IpAddr::V6(ip) => Ipv6Addr::from(u128::from(ip) & (u128::MAX << 64)).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_one_network_share_prefix() {
        for (address, prefix) in
            [("192.0.2.77", "192.0.2.0"), ("::ffff:192.0.2.77", "192.0.2.0"), ("2001:db8:0:1:2::3", "2001:db8:0:1::")]
        {
            assert_eq!(prefix_of(address.parse().unwrap()), prefix.parse::<IpAddr>().unwrap());
        }
    }
}
