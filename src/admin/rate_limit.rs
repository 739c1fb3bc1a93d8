//! Limits how many API requests one client may send, so that no client starves the others or tries many tokens. It knows no
//! requests.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::rate_limit::{RateLimit, TokenBucket};

/// Allows the opening of a dashboard at once, and a script that requests each machine of a large site in turn.
const LIMIT: RateLimit = RateLimit { burst: 1000.0, per_second: 250.0 };

/// When a bucket that is not used is full again in any case, and can be dropped.
const FULL_AFTER: Duration = Duration::from_secs(10);

/// The most clients with a bucket. Beyond that, the least recently used buckets are dropped.
const MAX_CLIENTS: u64 = 4096;

/// A token bucket for each client.
pub(super) struct ClientRateLimit {
    buckets: moka::sync::Cache<IpAddr, Arc<Mutex<TokenBucket>>>,
}

impl ClientRateLimit {
    pub(super) fn new() -> Self {
        Self { buckets: moka::sync::Cache::builder().max_capacity(MAX_CLIENTS).time_to_idle(FULL_AFTER).build() }
    }

    /// Takes one token of the client's bucket. Fails with the number of seconds to wait if the bucket is empty.
    pub(super) fn take(&self, peer: IpAddr, now: Instant) -> Result<(), u64> {
        let bucket = self.buckets.get_with(bucket_key(peer), || Arc::new(Mutex::new(TokenBucket::new(LIMIT, now))));
        // One second refills far more than one token.
        if bucket.lock().take(now) { Ok(()) } else { Err(1) }
    }
}

/// Returns the key of a client's bucket: its IPv4 address, or its IPv6 network, because a machine can use any address of that.
fn bucket_key(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_have_separate_buckets() {
        let (begin, limit) = (Instant::now(), ClientRateLimit::new());
        let allowed = |peer: &str, after: u64| {
            let (peer, now) = (peer.parse().unwrap(), begin + Duration::from_secs(after));
            (0..5000).filter(|_| limit.take(peer, now).is_ok()).count()
        };
        assert_eq!(allowed("192.0.2.7", 0), 1000);
        assert_eq!(allowed("::ffff:192.0.2.7", 0), 0, "the same client");
        assert_eq!(allowed("192.0.2.8", 0), 1000);
        assert_eq!(allowed("192.0.2.7", 1), 250);
        assert_eq!(allowed("2001:db8::1", 0), 1000);
        assert_eq!(allowed("2001:db8::2", 0), 0, "the same network");
        assert_eq!(allowed("2001:db8:0:1::1", 0), 1000);
        assert_eq!(limit.take("192.0.2.8".parse().unwrap(), begin), Err(1));
    }
}
