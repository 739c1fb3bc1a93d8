//! How much of a limit one client address, and one subnet, may use. It knows no sockets and no requests.

mod range;
mod refusals;
mod scope;

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;

pub use self::range::{AddressRange, RangeError};
pub use self::refusals::Refusals;
pub use self::scope::Scope;

/// The shares of any limit that one address and one subnet may use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShareSettings {
    /// Share of one address, in percent.
    pub per_address: u8,
    /// Share of one subnet (/24 of IPv4, /64 of IPv6), in percent.
    pub per_prefix: u8,
    /// Addresses that stand for many machines, such as proxies. They have no share: only the limit itself applies.
    pub trusted: Vec<AddressRange>,
}

impl Default for ShareSettings {
    /// A quarter for one address. Three quarters for a subnet, because a rack is commonly one: all its machines boot at once, and
    /// other subnets are still served. No address is trusted, not even loopback: operators name the proxies on this machine.
    fn default() -> Self {
        Self { per_address: 25, per_prefix: 75, trusted: Vec::new() }
    }
}

impl ShareSettings {
    /// Returns whether the address stands for many machines.
    pub fn is_trusted(&self, address: IpAddr) -> bool {
        self.trusted.iter().any(|range| range.contains(address))
    }

    /// How many of `limit` places one client may use whose address is not trusted, or not known; at least one.
    pub fn of_client(&self, limit: usize) -> usize {
        share(limit, self.per_address)
    }

    /// How many of `limit` places this address may use: its share, at least one place, or all of them if it is trusted.
    pub fn of_address(&self, limit: usize, address: IpAddr) -> usize {
        if self.is_trusted(address) { limit } else { self.of_client(limit) }
    }

    /// How many of `limit` places the subnet of this address may use; as [`Self::of_address`].
    pub fn of_prefix(&self, limit: usize, address: IpAddr) -> usize {
        if self.is_trusted(address) { limit } else { share(limit, self.per_prefix) }
    }
}

/// `percent` of `limit`, rounded down, but at least 1.
fn share(limit: usize, percent: u8) -> usize {
    let whole = limit / 100 * usize::from(percent);
    (whole + limit % 100 * usize::from(percent) / 100).max(1)
}

/// Counts the places of one limit that each address and each subnet uses.
///
/// ```
/// use bootdepot::address_share::{AddressShares, Scope, ShareSettings};
///
/// let mut places = AddressShares::new(8, ShareSettings::default());
/// let (greedy, other) = ("10.0.0.7".parse().unwrap(), "10.0.1.8".parse().unwrap());
/// assert!(places.take(greedy).is_ok() && places.take(greedy).is_ok());
/// assert_eq!(places.take(greedy), Err(Scope::Address));
/// assert!(places.take(other).is_ok());
/// places.give_back(greedy);
/// assert!(places.take(greedy).is_ok());
/// ```
#[derive(Debug)]
pub struct AddressShares {
    limit: usize,
    settings: ShareSettings,
    total: usize,
    addresses: HashMap<IpAddr, usize>,
    prefixes: HashMap<AddressRange, usize>,
}

impl AddressShares {
    /// No place is taken. `limit` is the number of places.
    pub fn new(limit: usize, settings: ShareSettings) -> Self {
        Self { limit, settings, total: 0, addresses: HashMap::new(), prefixes: HashMap::new() }
    }

    /// Whether there is a place for an address. The error says what is full.
    pub fn check(&self, address: IpAddr) -> Result<(), Scope> {
        if self.total >= self.limit {
            return Err(Scope::Server);
        }
        let (address, prefix) = (address.to_canonical(), AddressRange::prefix_of(address));
        if !self.settings.is_trusted(address) {
            if self.addresses.get(&address).is_some_and(|used| *used >= self.settings.of_client(self.limit)) {
                return Err(Scope::Address);
            }
            if self.prefixes.get(&prefix).is_some_and(|used| *used >= share(self.limit, self.settings.per_prefix)) {
                return Err(Scope::Prefix);
            }
        }
        Ok(())
    }

    /// Takes a place for an address, which [`Self::give_back`] frees. The error says what is full.
    pub fn take(&mut self, address: IpAddr) -> Result<(), Scope> {
        self.check(address)?;
        let address = address.to_canonical();
        if !self.settings.is_trusted(address) {
            *self.addresses.entry(address).or_default() += 1;
            *self.prefixes.entry(AddressRange::prefix_of(address)).or_default() += 1;
        }
        self.total += 1;
        Ok(())
    }

    /// Frees a place that the address took.
    pub fn give_back(&mut self, address: IpAddr) {
        let address = address.to_canonical();
        self.total = self.total.saturating_sub(1);
        decrement(&mut self.addresses, &address);
        decrement(&mut self.prefixes, &AddressRange::prefix_of(address));
    }
}

/// Decrements a count, and removes it at zero so that the memory is that of the clients present.
fn decrement<K: Eq + Hash>(counts: &mut HashMap<K, usize>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count = count.saturating_sub(1);
        if *count == 0 {
            counts.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn address_takes_quarter_and_others_follow() {
        let mut places = AddressShares::new(8, ShareSettings::default());
        assert_eq!((places.take(ip("10.0.0.1")), places.take(ip("::ffff:10.0.0.1"))), (Ok(()), Ok(())));
        assert_eq!(places.take(ip("10.0.0.1")), Err(Scope::Address));
        assert_eq!(places.take(ip("::ffff:10.0.0.1")), Err(Scope::Address), "the same address");
        assert_eq!(places.take(ip("10.0.0.2")), Ok(()));
    }

    #[test]
    fn prefix_takes_three_quarters() {
        let mut places = AddressShares::new(8, ShareSettings::default());
        for host in 1..=6 {
            assert_eq!(places.take(ip(&format!("fd00::{host}"))), Ok(()), "{host}");
        }
        assert_eq!(places.take(ip("fd00::7")), Err(Scope::Prefix));
        assert_eq!((places.take(ip("fd01::1")), places.take(ip("fd01::1"))), (Ok(()), Ok(())));
        assert_eq!(places.take(ip("fd02::1")), Err(Scope::Server));
    }

    #[test]
    fn trusted_address_has_whole_limit() {
        let settings = ShareSettings { trusted: vec!["10.1.0.0/16".parse().unwrap()], ..ShareSettings::default() };
        let mut places = AddressShares::new(4, settings);
        assert!((0..4).all(|_| places.take(ip("10.1.2.3")).is_ok()));
        assert_eq!(places.take(ip("10.1.2.3")), Err(Scope::Server));
        places.give_back(ip("10.1.2.3"));
        assert_eq!(places.take(ip("127.0.0.1")), Ok(()));
    }

    #[test]
    fn returned_places_leave_no_counts() {
        let mut places = AddressShares::new(100, ShareSettings::default());
        for _ in 0..1000 {
            assert_eq!(places.take(ip("10.0.0.1")), Ok(()));
            places.give_back(ip("10.0.0.1"));
        }
        assert_eq!(places.total, 0);
        assert!(places.addresses.is_empty() && places.prefixes.is_empty());
    }

    #[test]
    fn only_named_addresses_are_trusted() {
        let settings = ShareSettings::default();
        assert!(["127.0.0.1", "::1", "10.0.0.1"].iter().all(|address| !settings.is_trusted(ip(address))));
        let settings = ShareSettings { trusted: vec!["127.0.0.1".parse().unwrap()], ..settings };
        for (address, expected) in [("127.0.0.1", (8, 8)), ("::ffff:127.0.0.1", (8, 8)), ("127.0.0.2", (2, 6))] {
            let address = ip(address);
            assert_eq!((settings.of_address(8, address), settings.of_prefix(8, address)), expected, "{address}");
        }
    }

    #[test]
    fn share_has_at_least_one_place() {
        assert_eq!((share(1, 25), share(3, 25), share(8, 25), share(usize::MAX, 100)), (1, 1, 2, usize::MAX));
    }
}
