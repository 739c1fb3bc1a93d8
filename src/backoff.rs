//! Exponential backoff with a cap and jitter: how long to wait before a failed operation is retried. It does not sleep
//! and does not know what is retried.

use std::time::Duration;

/// The numbers of a backoff.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BackoffPolicy {
    /// The delay after the first failure. Each further failure doubles it.
    pub first: Duration,
    /// The longest delay.
    pub max: Duration,
    /// The share of a delay that is random, from 0 to 1: a delay `d` becomes at least `d * (1 - jitter)` and at most `d`,
    /// so that clients that failed together do not retry together.
    pub jitter: f64,
}

/// The delays of one operation that is being retried.
#[derive(Debug, Clone)]
pub struct Backoff {
    policy: BackoffPolicy,
    failures: u32,
    /// The last delay, without its jitter.
    last: Duration,
}

impl Backoff {
    /// A backoff without a failure so far.
    pub fn new(policy: BackoffPolicy) -> Self {
        Self { policy, failures: 0, last: Duration::ZERO }
    }

    /// Counts a failure and returns how long to wait before the next attempt.
    pub fn next_delay(&mut self) -> Duration {
        self.next_delay_at_least(Duration::ZERO)
    }

    /// The same, for a peer that asked for a delay (such as by `Retry-After`): the delay is at least `asked` before
    /// jitter, but never longer than the policy's longest.
    pub fn next_delay_at_least(&mut self, asked: Duration) -> Duration {
        let doubled = if self.failures == 0 { self.policy.first } else { self.last.saturating_mul(2) };
        self.failures = self.failures.saturating_add(1);
        self.last = doubled.max(asked).min(self.policy.max);
        self.last.saturating_sub(self.last.mul_f64(self.policy.jitter.clamp(0.0, 1.0) * fastrand::f64()))
    }

    /// The failures in a row so far.
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// Forgets the failures: after a success, the next failure is the first.
    pub fn reset(&mut self) {
        (self.failures, self.last) = (0, Duration::ZERO);
    }

    /// Changes the longest delay, from the next failure on.
    pub fn set_max(&mut self, max: Duration) {
        self.policy.max = max;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn exact(max: Duration) -> Backoff {
        Backoff::new(BackoffPolicy { first: SECOND, max, jitter: 0.0 })
    }

    #[test]
    fn delay_doubles_up_to_cap() {
        let mut backoff = exact(SECOND * 10);
        let delays: Vec<u64> = (0..6).map(|_| backoff.next_delay().as_secs()).collect();
        assert_eq!(delays, [1, 2, 4, 8, 10, 10]);
        assert_eq!(backoff.failures(), 6);
    }

    #[test]
    fn reset_starts_with_first_delay() {
        let mut backoff = exact(SECOND * 10);
        backoff.next_delay();
        backoff.next_delay();
        backoff.reset();
        assert_eq!((backoff.failures(), backoff.next_delay()), (0, SECOND));
    }

    #[test]
    fn asked_delay_raises_and_is_capped() {
        let mut backoff = exact(SECOND * 60);
        assert_eq!(backoff.next_delay_at_least(SECOND * 7), SECOND * 7);
        assert_eq!(backoff.next_delay(), SECOND * 14, "the raised delay is doubled");
        assert_eq!(backoff.next_delay_at_least(SECOND * 3), SECOND * 28, "a shorter one changes nothing");
        assert_eq!(backoff.next_delay_at_least(Duration::MAX), SECOND * 60);
    }

    #[test]
    fn first_delay_never_exceeds_cap() {
        assert_eq!(exact(SECOND / 2).next_delay(), SECOND / 2);
        let mut backoff = exact(SECOND * 60);
        backoff.set_max(SECOND * 2);
        assert_eq!((0..3).map(|_| backoff.next_delay()).collect::<Vec<_>>(), [SECOND, SECOND * 2, SECOND * 2]);
    }

    #[test]
    fn endless_failures_do_not_overflow() {
        let mut backoff = Backoff::new(BackoffPolicy { first: SECOND, max: Duration::MAX, jitter: 0.0 });
        backoff.failures = u32::MAX - 1;
        backoff.last = Duration::MAX / 2 + SECOND;
        assert_eq!(backoff.next_delay_at_least(Duration::from_secs(u64::MAX / 4)).as_secs(), Duration::MAX.as_secs());
        backoff.next_delay();
        assert_eq!(backoff.failures(), u32::MAX);
    }

    proptest! {
        #[test]
        fn jitter_stays_within_its_share(millis in 1u64..100_000, jitter in 0.0f64..=1.0) {
            let delay = Duration::from_millis(millis);
            let mut backoff = Backoff::new(BackoffPolicy { first: delay, max: delay, jitter });
            for _ in 0..20 {
                let found = backoff.next_delay();
                prop_assert!(found <= delay, "{:?}", found);
                // A nanosecond for the rounding.
                prop_assert!(found + Duration::from_nanos(1) >= delay.mul_f64(1.0 - jitter), "{:?}", found);
            }
        }
    }

    #[test]
    fn jitter_varies_the_delay() {
        let policy = BackoffPolicy { first: SECOND, max: SECOND, jitter: 0.5 };
        let delays: std::collections::HashSet<_> = (0..20).map(|_| Backoff::new(policy).next_delay()).collect();
        assert!(delays.len() > 1, "{delays:?}");
    }
}
