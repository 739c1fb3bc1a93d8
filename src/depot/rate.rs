//! The rate of a growing count over the last seconds.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// The window of a rate: long enough that a pause between two parts does not look like a stall, short enough to show a
/// stall.
const WINDOW: Duration = Duration::from_secs(5);
/// The minimum distance of two samples, so that frequent reads store few of them.
const SPACING: Duration = Duration::from_millis(200);

/// The rate of a count that only grows. Samples are taken when the rate is read; in between it costs nothing.
#[derive(Debug, Clone)]
pub struct Rate {
    /// In order of time. The rate is computed from the first.
    samples: VecDeque<(Instant, u64)>,
}

impl Rate {
    /// Starts with `count` at `now`.
    pub fn new(now: Instant, count: u64) -> Self {
        Self { samples: VecDeque::from([(now, count)]) }
    }

    /// Records `count` at `now`, and returns the growth per second.
    pub fn at(&mut self, now: Instant, count: u64) -> u64 {
        // One sample from before the window stays, so that rare reads have one too.
        while self.samples.get(1).is_some_and(|(at, _)| now.saturating_duration_since(*at) >= WINDOW) {
            self.samples.pop_front();
        }
        let Some(&(since, before)) = self.samples.front() else { return 0 };
        if self.samples.back().is_some_and(|(at, _)| now.saturating_duration_since(*at) >= SPACING) {
            self.samples.push_back((now, count));
        }
        let micros = now.saturating_duration_since(since).as_micros();
        if micros == 0 {
            return 0;
        }
        u64::try_from(u128::from(count.saturating_sub(before)) * 1_000_000 / micros).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn stall_drops_rate_to_zero() {
        let began = Instant::now();
        let at = |millis| began + Duration::from_millis(millis);
        let mut rate = Rate::new(began, 0);
        assert_eq!(rate.at(began, 0), 0);
        assert_eq!(rate.at(at(1000), 1000), 1000);
        assert_eq!(rate.at(at(2000), 3000), 1500);
        for second in 3..=6 {
            rate.at(at(second * 1000), 3000);
        }
        assert_eq!(rate.at(at(7000), 3000), 0, "nothing came for five seconds");
    }

    #[test]
    fn rare_reads_average_since_last() {
        let began = Instant::now();
        let mut rate = Rate::new(began, 500);
        assert_eq!(rate.at(began + Duration::from_mins(1), 6500), 100);
        assert_eq!(rate.at(began + Duration::from_mins(2), 12_500), 100);
    }

    proptest! {
        #[test]
        fn steady_growth_has_constant_rate(
            step in 1u64..1_000_000,
            gaps in prop::collection::vec(1u64..3000, 1..200),
        ) {
            let began = Instant::now();
            let mut rate = Rate::new(began, 0);
            let mut millis = 0;
            for gap in gaps {
                millis += gap;
                let found = rate.at(began + Duration::from_millis(millis), millis * step);
                prop_assert_eq!(found, step * 1000);
                prop_assert!(rate.samples.len() <= 27);
            }
        }
    }
}
