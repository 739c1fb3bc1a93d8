//! The round trip of one transfer, and how long to wait for an answer (after RFC 6298, for block windows).

use std::time::Duration;

/// The shortest wait before a resend: below it a busy client would be taken for a lost packet. Measured on loopback
/// with 500 clients on two cores, where a scheduler's pause is the longest round trip.
const MIN_WAIT: Duration = Duration::from_millis(20);
/// The longest wait that doubling leads to: a client that lost its link for half a minute is met again soon after.
const MAX_WAIT: Duration = Duration::from_secs(8);
/// Round trips to wait for an answer.
const FACTOR: u32 = 4;
/// Doublings that lead from [`MIN_WAIT`] past [`MAX_WAIT`].
const MAX_DOUBLINGS: u32 = 9;

/// A smoothed round trip with the doubling of unanswered waits.
#[derive(Debug, Clone)]
pub(super) struct RoundTrip {
    smoothed: Option<Duration>,
    /// The wait while nothing was measured.
    first_wait: Duration,
    doublings: u32,
    /// The wait was doubled after the last answer.
    unanswered: bool,
}

impl RoundTrip {
    /// Nothing measured yet: waits begin at `first_wait`.
    pub(super) fn new(first_wait: Duration) -> Self {
        Self { smoothed: None, first_wait, doublings: 0, unanswered: false }
    }

    /// Takes a measured round trip, of packets that were sent once only (Karn's rule), and forgets doublings.
    pub(super) fn measured(&mut self, sample: Duration) {
        self.doublings = 0;
        self.smoothed = Some(self.smoothed.map_or(sample, |smoothed| (smoothed * 7 + sample) / 8));
    }

    /// Takes an answer that measured nothing. The first after a doubled wait may be a late one, to what was sent before
    /// (Karn's rule): it leaves the wait as it is. The next one says that packets get through, so doublings are over.
    /// Without this a network that reorders, where hardly a window goes by without a resend, is waited for ever longer.
    pub(super) fn answered(&mut self) {
        if !std::mem::take(&mut self.unanswered) {
            self.doublings = 0;
        }
    }

    /// How long to wait for an answer now.
    pub(super) fn wait(&self) -> Duration {
        let first = self.smoothed.map_or(self.first_wait, |smoothed| (smoothed * FACTOR).max(MIN_WAIT));
        first.saturating_mul(1 << self.doublings).min(MAX_WAIT.max(self.first_wait))
    }

    /// Doubles the next wait: this one brought no answer.
    pub(super) fn double(&mut self) {
        self.doublings = (self.doublings + 1).min(MAX_DOUBLINGS);
        self.unanswered = true;
    }

    /// Less than this after a burst nothing that arrives can be an answer to it: half the round trip, since single
    /// ones are shorter than the smoothed.
    pub(super) fn too_soon(&self) -> Duration {
        self.smoothed.unwrap_or_default() / 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_follow_the_round_trip_and_double() {
        let mut trip = RoundTrip::new(Duration::from_secs(1));
        assert_eq!(trip.wait(), Duration::from_secs(1));
        trip.measured(Duration::from_micros(100));
        assert_eq!(trip.wait(), MIN_WAIT);
        trip.double();
        assert_eq!(trip.wait(), 2 * MIN_WAIT);
        for _ in 0..40 {
            trip.double();
        }
        assert_eq!(trip.wait(), MAX_WAIT);
        trip.measured(Duration::from_millis(80));
        assert_eq!(trip.wait(), 4 * (Duration::from_micros(700) + Duration::from_millis(80)) / 8);
    }

    #[test]
    fn doublings_end_with_the_second_answer_in_a_row() {
        let mut trip = RoundTrip::new(Duration::from_secs(1));
        trip.measured(Duration::from_micros(100));
        for _ in 0..3 {
            trip.double();
        }
        trip.answered();
        assert_eq!(trip.wait(), 8 * MIN_WAIT, "it may be the answer to what was sent first");
        trip.double();
        trip.answered();
        assert_eq!(trip.wait(), 16 * MIN_WAIT);
        trip.answered();
        assert_eq!(trip.wait(), MIN_WAIT);
    }
}
