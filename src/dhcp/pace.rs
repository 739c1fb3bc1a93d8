//! How many answers go out in a time: answers cost the network more than requests cost who forges them.

use std::time::Instant;

/// Answers that may go out in one instant: two for each machine of a large site that is switched on at once.
const BURST: f64 = 2000.0;
/// Answers a second after that. A machine that is not answered asks again after 4 seconds (PXE 2.1, 2.2.2).
const A_SECOND: f64 = 500.0;

/// A bucket that fills at a steady rate.
#[derive(Debug)]
pub(super) struct Pace {
    left: f64,
    since: Instant,
}

impl Pace {
    /// A full one.
    pub(super) fn new(now: Instant) -> Self {
        Self { left: BURST, since: now }
    }

    /// Whether one more answer may go out now.
    pub(super) fn allows(&mut self, now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.since).as_secs_f64();
        self.left = (self.left + passed * A_SECOND).min(BURST);
        self.since = self.since.max(now);
        let allowed = self.left >= 1.0;
        if allowed {
            self.left -= 1.0;
        }
        allowed
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_burst_goes_out_and_then_a_steady_rate() {
        let begin = Instant::now();
        let mut pace = Pace::new(begin);
        let mut at = |after: u64| (0..10_000).filter(|_| pace.allows(begin + Duration::from_secs(after))).count();
        assert_eq!(at(0), 2000);
        assert_eq!(at(1), 500);
        assert_eq!(at(0), 0, "a clock that goes back gives nothing");
        assert_eq!(at(100), 2000);
    }
}
