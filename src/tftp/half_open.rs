//! The order of half-open sessions: those whose peer has not answered yet. It is bounded for an address, for a prefix and in
//! all, and a new session takes the place of the oldest in the first scope that is full. It knows neither sockets nor requests.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;

use foldhash::quality::RandomState;

use super::prefix::prefix_of;

/// Half-open sessions in all: 20,000 requests a second leave each of them 0.2 s, and a boot network answers in milliseconds.
pub(super) const MAX_HALF_OPEN: usize = 4096;

/// The scopes of the limits, the narrowest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::IntoStaticStr)]
#[strum(serialize_all = "kebab-case")]
pub(super) enum Scope {
    /// Sessions of one address: a quarter of all.
    Address,
    /// Sessions of one prefix (see [`prefix_of`]): half of all.
    Prefix,
    /// All sessions.
    Server,
}

/// Session ids in the order of their start, by scope. Ids grow.
pub(super) struct HalfOpenQueue {
    max: usize,
    all: BTreeSet<u64>,
    by_address: HashMap<IpAddr, BTreeSet<u64>, RandomState>,
    by_prefix: HashMap<IpAddr, BTreeSet<u64>, RandomState>,
}

impl HalfOpenQueue {
    /// An empty queue for at most `max` sessions.
    pub(super) fn new(max: usize) -> Self {
        Self { max, all: BTreeSet::new(), by_address: HashMap::default(), by_prefix: HashMap::default() }
    }

    /// The session whose place a new one of `address` takes, and the scope that is full; `None` if there is a free place.
    pub(super) fn oldest_if_full(&self, address: IpAddr) -> Option<(u64, Scope)> {
        let first = |ids: &BTreeSet<u64>, max: usize| (ids.len() >= max.max(1)).then(|| ids.first().copied()).flatten();
        let of_address = self.by_address.get(&address).and_then(|ids| first(ids, self.max / 4));
        let of_prefix = || self.by_prefix.get(&prefix_of(address)).and_then(|ids| first(ids, self.max / 2));
        let of_all = || first(&self.all, self.max);
        (of_address.map(|id| (id, Scope::Address)))
            .or_else(|| of_prefix().map(|id| (id, Scope::Prefix)))
            .or_else(|| of_all().map(|id| (id, Scope::Server)))
    }

    /// Adds a session, the newest.
    pub(super) fn add(&mut self, id: u64, address: IpAddr) {
        self.all.insert(id);
        self.by_address.entry(address).or_default().insert(id);
        self.by_prefix.entry(prefix_of(address)).or_default().insert(id);
    }

    /// Removes a session. Returns whether it was there.
    pub(super) fn remove(&mut self, id: u64, address: IpAddr) -> bool {
        let removed = self.all.remove(&id);
        if removed {
            for (ids, key) in [(&mut self.by_address, address), (&mut self.by_prefix, prefix_of(address))] {
                if let Some(of_key) = ids.get_mut(&key) {
                    of_key.remove(&id);
                    if of_key.is_empty() {
                        ids.remove(&key);
                    }
                }
            }
        }
        removed
    }

    /// How many sessions are half-open.
    pub(super) fn len(&self) -> usize {
        self.all.len()
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
        let mut queue = HalfOpenQueue::new(8);
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
        let mut queue = HalfOpenQueue::new(4);
        queue.add(1, ip("2001:db8::1"));
        assert!(queue.remove(1, ip("2001:db8::1")));
        assert_eq!((queue.len(), queue.by_address.len(), queue.by_prefix.len()), (0, 0, 0));
    }
}
