//! A range of IP addresses: one address, or a network in CIDR notation.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// The prefix length of an IPv4 network that counts as one neighbourhood: a subnet of 254 machines.
const IPV4_PREFIX: u8 = 24;
/// The prefix length of an IPv6 network that counts as one: a subnet (RFC 4291 2.5.1), in which a machine may choose any address.
const IPV6_PREFIX: u8 = 64;

/// A range of IP addresses. An IPv4-mapped IPv6 address counts as IPv4.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct AddressRange {
    /// The first address.
    first: IpAddr,
    /// Leading bits that all its addresses have in common.
    length: u8,
}

/// Why a text is not a range of addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RangeError {
    /// The text before the slash is not an IP address.
    #[error("it is not an IP address")]
    Address,
    /// The text after the slash is not a prefix length of the address's family.
    #[error("the prefix length must be a number from 0 to {0}")]
    Length(u8),
}

impl AddressRange {
    /// The range of this prefix length, in bits, that contains `address`. A longer prefix than the address counts as its length.
    fn containing(address: IpAddr, length: u8) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => {
                let length = length.min(32);
                let mask = u32::MAX.checked_shl(32 - u32::from(length)).unwrap_or(0);
                Self { first: Ipv4Addr::from_bits(address.to_bits() & mask).into(), length }
            }
            IpAddr::V6(address) => {
                let length = length.min(128);
                let mask = u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0);
                Self { first: Ipv6Addr::from_bits(address.to_bits() & mask).into(), length }
            }
        }
    }

    /// The subnet of an address, its /24 (IPv4) or its /64 (IPv6): a key to count by.
    pub fn prefix_of(address: IpAddr) -> Self {
        let address = address.to_canonical();
        Self::containing(address, if address.is_ipv4() { IPV4_PREFIX } else { IPV6_PREFIX })
    }

    /// Returns whether the range contains this address.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        address.is_ipv4() == self.first.is_ipv4() && Self::containing(address, self.length) == *self
    }
}

impl FromStr for AddressRange {
    type Err = RangeError;

    fn from_str(text: &str) -> Result<Self, RangeError> {
        let (address, length) = text.split_once('/').map_or((text, None), |(address, length)| (address, Some(length)));
        let address: IpAddr = address.parse().map_err(|_| RangeError::Address)?;
        let longest = |address: IpAddr| if address.is_ipv4() { 32 } else { 128 };
        let bits = longest(address);
        let length = match length {
            None => bits,
            Some(text) => text.parse().ok().filter(|length| *length <= bits).ok_or(RangeError::Length(bits))?,
        };
        // `::ffff:10.1.0.0/112` is 10.1.0.0/16.
        let canonical = address.to_canonical();
        Ok(Self::containing(canonical, length.saturating_sub(bits - longest(canonical))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(text: &str) -> AddressRange {
        text.parse().unwrap()
    }

    #[test]
    fn range_contains_addresses_of_network() {
        for (text, address, expected) in [
            ("10.0.0.5", "10.0.0.5", true),
            ("10.0.0.5", "10.0.0.6", false),
            ("10.0.0.5", "::ffff:10.0.0.5", true),
            ("10.1.0.0/16", "10.1.255.255", true),
            ("10.1.0.9/16", "10.2.0.0", false),
            ("::ffff:10.1.0.0/112", "10.1.3.4", true),
            ("0.0.0.0/0", "203.0.113.9", true),
            ("0.0.0.0/0", "fd00::1", false),
            ("::/0", "fd00::1", true),
            ("::/0", "10.0.0.1", false),
            ("fd00::/64", "fd00::ffff:1", true),
            ("fd00::/64", "fd00:0:0:1::1", false),
        ] {
            assert_eq!(range(text).contains(address.parse().unwrap()), expected, "{text} {address}");
        }
    }

    #[test]
    fn prefix_groups_neighbouring_addresses() {
        let subnet = |text: &str| AddressRange::prefix_of(text.parse().unwrap());
        assert_eq!(subnet("10.0.0.1"), subnet("::ffff:10.0.0.254"));
        assert_ne!(subnet("10.0.0.1"), subnet("10.0.1.1"));
        assert_eq!(subnet("fd00::1"), subnet("fd00::ffff:ffff:ffff:ffff"));
        assert_ne!(subnet("fd00::1"), subnet("fd00:0:0:1::1"));
    }

    #[test]
    fn range_malformed_says_why() {
        for text in ["", "boot.lab", "10.0.0", "10.0.0.1:80", "/8"] {
            assert_eq!(text.parse::<AddressRange>(), Err(RangeError::Address), "{text}");
        }
        for text in ["10.0.0.0/33", "10.0.0.0/", "10.0.0.0/-1"] {
            assert_eq!(text.parse::<AddressRange>(), Err(RangeError::Length(32)), "{text}");
        }
        assert_eq!("fd00::/129".parse::<AddressRange>(), Err(RangeError::Length(128)));
    }
}
