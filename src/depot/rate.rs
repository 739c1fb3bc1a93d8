//! How fast something grows, as whoever watches wants to know it: over the last seconds, not since it began.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Over how long a rate is taken: long enough that a pause between two parts is no standstill, short enough that a
/// standstill is seen.
const WINDOW: Duration = Duration::from_secs(5);
/// Samples closer to one another than this are one: however many look, few are kept.
const SPACING: Duration = Duration::from_millis(200);

/// The rate of a count that only grows. It is told the count when somebody looks, and costs nothing in between.
#[derive(Debug, Clone)]
pub struct Rate {
    /// In the order of time; the first is the one that the rate is taken from.
    samples: VecDeque<(Instant, u64)>,
}

impl Rate {
    /// The rate of a count that is `count` at `now`.
    pub fn new(now: Instant, count: u64) -> Self {
        Self { samples: VecDeque::from([(now, count)]) }
    }

    /// The count is `count` at `now`: how much it grows a second.
    pub fn at(&mut self, now: Instant, count: u64) -> u64 {
        // One from before the window stays, for whoever looks seldom.
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
    fn a_standstill_is_seen_and_what_was_long_ago_is_forgotten() {
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
    fn whoever_looks_seldom_sees_the_time_since() {
        let began = Instant::now();
        let mut rate = Rate::new(began, 500);
        assert_eq!(rate.at(began + Duration::from_mins(1), 6500), 100);
        assert_eq!(rate.at(began + Duration::from_mins(2), 12_500), 100);
    }

    proptest! {
        #[test]
        fn a_steady_count_has_its_own_rate_however_often_one_looks(
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
