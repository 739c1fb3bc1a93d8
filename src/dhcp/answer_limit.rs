//! Limits the rate of answers: of the server, of each machine, and of each relay. It knows no packets.

use std::hash::Hash;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use moka::sync::Cache;
use parking_lot::Mutex;

use crate::address_share::{AddressRange, Refusals, Scope, ShareSettings};
use crate::boot::Mac;
use crate::rate_limit::{RateLimit, TokenBucket};

/// Answers in one instant, because an answer costs the network more than a forged request costs its sender: two for each machine
/// of a large site that is switched on at once. A machine without an answer repeats its request after 4 seconds (PXE 2.1, 2.2.2).
const BURST: usize = 2000;
/// Answers a second after the burst.
const PER_SECOND: usize = 500;

/// When a bucket that is not used is full again in any case, and can be dropped: each has the same share of both numbers.
const FULL_AFTER: Duration = Duration::from_secs((BURST / PER_SECOND) as u64 + 1);

/// The most machines, and the most relays, with a bucket. Beyond that, the least recently used buckets are dropped.
const MAX_BUCKETS: u64 = 4096;

/// The limit on answers.
pub(super) struct AnswerLimit {
    shares: ShareSettings,
    server: Mutex<TokenBucket>,
    machines: Buckets<Mac>,
    prefixes: Buckets<AddressRange>,
    refusals: Refusals,
}

type Buckets<K> = Cache<K, Arc<Mutex<TokenBucket>>>;

impl AnswerLimit {
    /// No answer has been sent yet.
    pub(super) fn new(shares: ShareSettings, now: Instant) -> Self {
        Self {
            shares,
            server: Mutex::new(bucket(&|limit| limit, now)),
            machines: buckets(),
            prefixes: buckets(),
            refusals: Refusals::new("dhcp-answers"),
        }
    }

    /// Returns whether a machine may get an answer; counts and logs a refusal. `relay` is the address of its relay, 0.0.0.0 for the
    /// network of the interface, and `None` if there is no other network than that.
    pub(super) fn take(&self, mac: Mac, relay: Option<Ipv4Addr>, now: Instant) -> bool {
        let refused = self.refusal(mac, relay, now);
        if let Some(scope) = refused {
            self.refusals.record(scope, mac);
        }
        refused.is_none()
    }

    fn refusal(&self, mac: Mac, relay: Option<Ipv4Addr>, now: Instant) -> Option<Scope> {
        // A machine is one client, also behind a trusted relay.
        if !take(&self.machines, mac, &|limit| self.shares.of_client(limit), now) {
            return Some(Scope::Address);
        }
        if let Some(relay) = relay.map(IpAddr::from)
            && !take(&self.prefixes, AddressRange::prefix_of(relay), &|limit| self.shares.of_prefix(limit, relay), now)
        {
            return Some(Scope::Prefix);
        }
        (!self.server.lock().take(now)).then_some(Scope::Server)
    }
}

fn buckets<K: Hash + Eq + Send + Sync + 'static>() -> Buckets<K> {
    Cache::builder().max_capacity(MAX_BUCKETS).time_to_idle(FULL_AFTER).build()
}

/// Takes one token of a bucket, which is full when its key is new.
fn take<K>(buckets: &Buckets<K>, key: K, share: &dyn Fn(usize) -> usize, now: Instant) -> bool
where
    K: Hash + Eq + Send + Sync + 'static,
{
    buckets.get_with(key, || Arc::new(Mutex::new(bucket(share, now)))).lock().take(now)
}

/// A bucket with a share of the limit.
fn bucket(share: &dyn Fn(usize) -> usize, now: Instant) -> TokenBucket {
    let number = |limit| u32::try_from(share(limit)).map_or(f64::INFINITY, f64::from);
    TokenBucket::new(RateLimit { burst: number(BURST), per_second: number(PER_SECOND) }, now)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOCAL: Option<Ipv4Addr> = Some(Ipv4Addr::UNSPECIFIED);

    fn limit(trusted: &[&str]) -> (AnswerLimit, Instant) {
        let trusted = trusted.iter().map(|range| range.parse().unwrap()).collect();
        let now = Instant::now();
        (AnswerLimit::new(ShareSettings { trusted, ..ShareSettings::default() }, now), now)
    }

    /// A forged machine of this number.
    fn forged(number: u32) -> Mac {
        let [a, b, c, d] = number.to_be_bytes();
        Mac([2, 0, a, b, c, d])
    }

    #[test]
    fn one_machine_gets_quarter_of_answers() {
        let (limit, now) = limit(&[]);
        let answers = |mac, now| (0..5000).filter(|_| limit.refusal(mac, LOCAL, now).is_none()).count();
        assert_eq!(answers(forged(1), now), 500);
        assert_eq!(limit.refusal(forged(1), LOCAL, now), Some(Scope::Address));
        assert!(!limit.take(forged(1), LOCAL, now) && limit.take(forged(2), LOCAL, now));
        assert_eq!(answers(forged(1), now + Duration::from_secs(1)), 125);
    }

    #[test]
    fn forged_machines_leave_other_relays_answers() {
        let (limit, now) = limit(&["10.78.9.0/24"]);
        let flood =
            |relay| (0..3000).find_map(|number| limit.refusal(forged(number), relay, now).map(|it| (number, it)));
        assert_eq!(flood(LOCAL), Some((1500, Scope::Prefix)));
        assert_eq!(limit.refusal(forged(5000), Some(Ipv4Addr::new(10, 78, 1, 1)), now), None);
        assert_eq!(limit.refusal(forged(5000), LOCAL, now), Some(Scope::Prefix));
        // A trusted relay has the whole rest.
        assert_eq!(flood(Some(Ipv4Addr::new(10, 78, 9, 1))), Some((499, Scope::Server)));
    }

    #[test]
    fn only_network_has_all_answers() {
        let (limit, now) = limit(&[]);
        let refused = (0..3000).find_map(|number| limit.refusal(forged(number), None, now).map(|it| (number, it)));
        assert_eq!(refused, Some((2000, Scope::Server)));
    }
}
