//! The order of half-open sessions: those whose peer has not answered yet. It is bounded for an address, for a prefix and in
//! all, and a new session takes the slot of the oldest in the first scope that is full. It knows neither sockets nor requests.

use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;
use std::net::IpAddr;

use foldhash::quality::RandomState;

use crate::address_share::{AddressRange, Scope, ShareSettings};

/// Half-open sessions in all: 20,000 requests a second leave each of them 0.2 s, and a boot network answers in milliseconds.
pub(super) const MAX_HALF_OPEN: usize = 4096;

/// Session ids in the order of their start, by scope. Ids grow.
pub(super) struct HalfOpenQueue {
    max: usize,
    shares: ShareSettings,
    all: BTreeSet<u64>,
    by_address: HashMap<IpAddr, BTreeSet<u64>, RandomState>,
    by_prefix: HashMap<AddressRange, BTreeSet<u64>, RandomState>,
}

impl HalfOpenQueue {
    /// An empty queue for at most `max` sessions.
    pub(super) fn new(max: usize, shares: ShareSettings) -> Self {
        Self { max, shares, all: BTreeSet::new(), by_address: HashMap::default(), by_prefix: HashMap::default() }
    }

    /// The session whose slot a new one of `address` takes, and the scope that is full; `None` if there is a free slot.
    pub(super) fn oldest_if_full(&self, address: IpAddr) -> Option<(u64, Scope)> {
        let oldest = |ids: Option<&BTreeSet<u64>>, max| ids.filter(|ids| ids.len() >= max)?.first().copied();
        let of_address = oldest(self.by_address.get(&address), self.shares.of_address(self.max, address));
        let prefix = AddressRange::prefix_of(address);
        let of_prefix = || oldest(self.by_prefix.get(&prefix), self.shares.of_prefix(self.max, address));
        (of_address.map(|id| (id, Scope::Address)))
            .or_else(|| of_prefix().map(|id| (id, Scope::Prefix)))
            .or_else(|| oldest(Some(&self.all), self.max).map(|id| (id, Scope::Server)))
    }

    /// Adds a session, the newest.
    pub(super) fn add(&mut self, id: u64, address: IpAddr) {
        self.all.insert(id);
        self.by_address.entry(address).or_default().insert(id);
        self.by_prefix.entry(AddressRange::prefix_of(address)).or_default().insert(id);
    }

    /// Removes a session. Returns whether it was there.
    pub(super) fn remove(&mut self, id: u64, address: IpAddr) -> bool {
        let removed = self.all.remove(&id);
        if removed {
            discard(&mut self.by_address, &address, id);
            discard(&mut self.by_prefix, &AddressRange::prefix_of(address), id);
        }
        removed
    }

    /// How many sessions are half-open.
    pub(super) fn len(&self) -> usize {
        self.all.len()
    }
}

/// Removes an id from the set of a key, and the set if it is empty.
fn discard<K: Eq + Hash>(sets: &mut HashMap<K, BTreeSet<u64>, RandomState>, key: &K, id: u64) {
    if let Some(ids) = sets.get_mut(key) {
        ids.remove(&id);
        if ids.is_empty() {
            sets.remove(key);
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
    fn narrowest_full_scope_gives_oldest() {
        let mut queue = HalfOpenQueue::new(8, ShareSettings { per_prefix: 50, ..ShareSettings::default() });
        let add = |queue: &mut HalfOpenQueue, ids: std::ops::RangeInclusive<u64>, address: &str| {
            ids.for_each(|id| queue.add(id, ip(address)));
        };
        add(&mut queue, 1..=2, "192.0.2.1");
        assert_eq!(queue.oldest_if_full(ip("192.0.2.1")), Some((1, Scope::Address)));
        assert_eq!(queue.oldest_if_full(ip("192.0.2.2")), None);
        add(&mut queue, 3..=4, "192.0.2.2");
        assert_eq!(queue.oldest_if_full(ip("192.0.2.3")), Some((1, Scope::Prefix)));
        assert_eq!(queue.oldest_if_full(ip("192.0.3.1")), None);
        add(&mut queue, 5..=8, "192.0.3.1");
        assert_eq!(queue.oldest_if_full(ip("198.51.100.1")), Some((1, Scope::Server)));
        assert!(queue.remove(1, ip("192.0.2.1")) && !queue.remove(1, ip("192.0.2.1")));
        assert_eq!(queue.oldest_if_full(ip("198.51.100.1")), None);
    }

    #[test]
    fn removed_sessions_leave_no_state() {
        let mut queue = HalfOpenQueue::new(4, ShareSettings::default());
        queue.add(1, ip("2001:db8::1"));
        assert!(queue.remove(1, ip("2001:db8::1")));
        assert_eq!((queue.len(), queue.by_address.len(), queue.by_prefix.len()), (0, 0, 0));
    }
}
