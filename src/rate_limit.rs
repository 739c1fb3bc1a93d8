//! Rate limiting by a token bucket: a burst at once, and then a steady rate. It knows no clients and no requests.

use std::time::Instant;

/// The numbers of a token bucket.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RateLimit {
    /// The most tokens that a bucket holds: what may pass in one instant.
    pub burst: f64,
    /// Tokens that are added a second.
    pub per_second: f64,
}

/// A token bucket.
///
/// ```
/// use std::time::{Duration, Instant};
///
/// use bootdepot::rate_limit::{RateLimit, TokenBucket};
///
/// let start = Instant::now();
/// let mut bucket = TokenBucket::new(RateLimit { burst: 2.0, per_second: 1.0 }, start);
/// assert!(bucket.take(start) && bucket.take(start) && !bucket.take(start));
/// assert!(bucket.take(start + Duration::from_secs(1)));
/// ```
#[derive(Debug, Clone)]
pub struct TokenBucket {
    limit: RateLimit,
    tokens: f64,
    /// When `tokens` was last brought up to date. Never set back.
    updated: Instant,
}

impl TokenBucket {
    /// A full bucket.
    pub fn new(limit: RateLimit, now: Instant) -> Self {
        Self { limit, tokens: limit.burst, updated: now }
    }

    /// Takes one token. Returns `false` if there is none, which means that the limit is exceeded.
    ///
    /// A `now` before that of an earlier call adds nothing.
    pub fn take(&mut self, now: Instant) -> bool {
        self.take_many(1, now)
    }

    /// Takes `count` tokens, or none: returns `false` if there are fewer.
    pub fn take_many(&mut self, count: u32, now: Instant) -> bool {
        let allowed = self.has(count, now);
        if allowed {
            self.tokens -= f64::from(count);
        }
        allowed
    }

    /// Returns whether there are `count` tokens.
    pub fn has(&mut self, count: u32, now: Instant) -> bool {
        let elapsed = now.saturating_duration_since(self.updated).as_secs_f64();
        self.tokens = (self.tokens + elapsed * self.limit.per_second).min(self.limit.burst);
        self.updated = self.updated.max(now);
        self.tokens >= f64::from(count)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const LIMIT: RateLimit = RateLimit { burst: 2000.0, per_second: 500.0 };

    #[test]
    fn burst_passes_and_then_steady_rate() {
        let begin = Instant::now();
        let mut bucket = TokenBucket::new(LIMIT, begin);
        let mut at = |seconds| (0..10_000).filter(|_| bucket.take(begin + Duration::from_secs(seconds))).count();
        assert_eq!(at(0), 2000);
        assert_eq!(at(1), 500);
        assert_eq!(at(100), 2000, "never more than the burst");
    }

    #[test]
    fn earlier_time_adds_no_tokens() {
        let begin = Instant::now();
        let later = begin + Duration::from_secs(1);
        let mut bucket = TokenBucket::new(RateLimit { burst: 1.0, per_second: 1.0 }, later);
        assert!(bucket.take(later));
        assert!(!bucket.take(begin));
        assert!(!bucket.take(later), "the second before is not counted twice");
        assert!(bucket.take(later + Duration::from_secs(1)));
    }

    #[test]
    fn fractions_of_a_token_add_up() {
        let begin = Instant::now();
        let mut bucket = TokenBucket::new(RateLimit { burst: 1.0, per_second: 1.0 }, begin);
        assert!(bucket.take(begin));
        let passed = (1..=40).filter(|tick| bucket.take(begin + Duration::from_millis(250 * tick))).count();
        assert_eq!(passed, 10);
    }
}
