//! The limit on bytes sent to peers that are not validated: a forged address receives them. Each address has a rate, and each
//! prefix has one.

use std::hash::{BuildHasher, Hash, RandomState};
use std::net::IpAddr;
use std::time::Instant;

use parking_lot::Mutex;

use crate::address_share::AddressRange;
use crate::rate_limit::{RateLimit, TokenBucket};

/// Buckets of each kind. Addresses are spread over them by a secret hash, so that the memory has a bound; some share one.
const BUCKETS: usize = 4096;
/// Bytes to one address: at once the first packets of 240 machines behind one NAT address, each of 512 bytes.
const ADDRESS_LIMIT: RateLimit = RateLimit { burst: 131_072.0, per_second: 32_768.0 };
/// Bytes to one prefix: at once the first packets of a full /24 and all their repeats.
const PREFIX_LIMIT: RateLimit = RateLimit { burst: 1_048_576.0, per_second: 131_072.0 };

/// Answers of so many bytes are not limited: an OACK repeats what its request has, and an ERROR is short. A limit on those would
/// let a forger use up the share of the clients in a prefix, for nothing.
const SHORT: usize = 64;

/// The limits of all addresses.
pub(super) struct AnswerLimit {
    /// The key is secret: else a forger would choose addresses that share their bucket with a victim.
    hasher: RandomState,
    buckets: Mutex<Buckets>,
}

struct Buckets {
    addresses: Box<[TokenBucket]>,
    prefixes: Box<[TokenBucket]>,
}

impl AnswerLimit {
    /// Full buckets.
    pub(super) fn new() -> Self {
        let buckets = |limit| vec![TokenBucket::new(limit, Instant::now()); BUCKETS].into();
        let buckets = Buckets { addresses: buckets(ADDRESS_LIMIT), prefixes: buckets(PREFIX_LIMIT) };
        Self { hasher: RandomState::new(), buckets: Mutex::new(buckets) }
    }

    /// Whether a datagram with `payload` bytes may be sent to `address`, which counts it unless it is short.
    pub(super) fn allow(&self, address: IpAddr, payload: usize, now: Instant) -> bool {
        if payload <= SHORT {
            return true;
        }
        let bytes = u32::try_from(payload).unwrap_or(u32::MAX);
        let of_address = self.bucket(&address.to_canonical());
        let of_prefix = self.bucket(&AddressRange::prefix_of(address));
        let mut buckets = self.buckets.lock();
        let Buckets { addresses, prefixes } = &mut *buckets;
        let allowed = addresses[of_address].has(bytes, now) && prefixes[of_prefix].take_many(bytes, now);
        allowed && addresses[of_address].take_many(bytes, now)
    }

    fn bucket(&self, key: &impl Hash) -> usize {
        usize::try_from(self.hasher.hash_one(key) % BUCKETS as u64).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(limit: &AnswerLimit, address: &str, now: Instant) -> usize {
        (0..10_000).filter(|_| limit.allow(address.parse().unwrap(), 500, now)).count()
    }

    #[test]
    fn one_address_leaves_others_their_share() {
        let (limit, now) = (AnswerLimit::new(), Instant::now());
        assert_eq!(allowed(&limit, "192.0.2.1", now), 131_072 / 500);
        assert_eq!(allowed(&limit, "192.0.2.1", now), 0);
        assert_eq!(allowed(&limit, "192.0.2.2", now), 131_072 / 500, "another address of the prefix");
    }

    #[test]
    fn many_addresses_exhaust_only_their_prefix() {
        let (limit, now) = (AnswerLimit::new(), Instant::now());
        let sent: usize = (0..200).map(|host| allowed(&limit, &format!("192.0.2.{host}"), now)).sum();
        assert_eq!(sent, 1_048_576 / 500);
        assert!(allowed(&limit, "198.51.100.1", now) > 0);
    }
}
