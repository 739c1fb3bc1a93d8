//! How many requests to the API one client may make in a time, so that none takes the server from the others, and none
//! tries tokens at leisure. It knows no requests.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Requests in one instant: a dashboard that opens, and a script that asks for each machine of a large site in turn.
const BURST: f64 = 1000.0;
/// Requests a second after that.
const A_SECOND: f64 = 250.0;
/// When a client's bucket is full again in any case, and can be forgotten.
const FULL_AFTER: Duration = Duration::from_secs(10);
/// Clients that are remembered; of more, those that were not heard of for the longest time have their buckets back.
const CLIENTS: u64 = 4096;

/// A bucket for each client.
pub(super) struct Pace {
    buckets: moka::sync::Cache<IpAddr, Arc<Mutex<Bucket>>>,
}

struct Bucket {
    left: f64,
    since: Instant,
}

impl Pace {
    /// All of them full.
    pub(super) fn new() -> Self {
        Self { buckets: moka::sync::Cache::builder().max_capacity(CLIENTS).time_to_idle(FULL_AFTER).build() }
    }

    /// Whether one more request of this client may be answered now; else in how many seconds.
    pub(super) fn allow(&self, peer: IpAddr, now: Instant) -> Result<(), u64> {
        let bucket = self.buckets.get_with(client(peer), || Arc::new(Mutex::new(Bucket { left: BURST, since: now })));
        let mut bucket = bucket.lock().unwrap_or_else(PoisonError::into_inner);
        let passed = now.saturating_duration_since(bucket.since).as_secs_f64();
        bucket.left = (bucket.left + passed * A_SECOND).min(BURST);
        bucket.since = bucket.since.max(now);
        if bucket.left < 1.0 {
            // Any whole second is enough for many.
            return Err(1);
        }
        bucket.left -= 1.0;
        Ok(())
    }
}

/// Who shares a bucket: an IPv4 address, or an IPv6 network, of which each machine has as many addresses as it likes.
fn client(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_answered_and_then_a_steady_rate_and_one_client_takes_nothing_from_another() {
        let (begin, pace) = (Instant::now(), Pace::new());
        let allowed = |peer: &str, after: u64| {
            let (peer, now) = (peer.parse().unwrap(), begin + Duration::from_secs(after));
            (0..5000).filter(|_| pace.allow(peer, now).is_ok()).count()
        };
        assert_eq!(allowed("192.0.2.7", 0), 1000);
        assert_eq!(allowed("::ffff:192.0.2.7", 0), 0, "the same client");
        assert_eq!(allowed("192.0.2.8", 0), 1000);
        assert_eq!(allowed("192.0.2.7", 1), 250);
        assert_eq!(allowed("192.0.2.7", 0), 0, "a clock that goes back gives nothing");
        assert_eq!(allowed("2001:db8::1", 0), 1000);
        assert_eq!(allowed("2001:db8::2", 0), 0, "of the same network");
        assert_eq!(allowed("2001:db8:0:1::1", 0), 1000);
        assert_eq!(pace.allow("192.0.2.8".parse().unwrap(), begin), Err(1));
    }
}
