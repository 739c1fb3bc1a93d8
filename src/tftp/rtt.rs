//! The round trip time of one transfer and its retransmit timeout (after RFC 6298, for windows of blocks).

use std::time::Duration;

/// The shortest timeout: below it a busy client would be taken for a lost packet. Measured on loopback with 500 clients on
/// two cores, where the longest round trip is a pause of the scheduler.
const MIN_TIMEOUT: Duration = Duration::from_millis(20);
/// The longest timeout after backoff: a client that loses its link for half a minute is served again soon after.
const MAX_TIMEOUT: Duration = Duration::from_secs(8);
/// The timeout before backoff, in round trips.
const RTT_FACTOR: u32 = 4;
/// The doublings that lead from [`MIN_TIMEOUT`] past [`MAX_TIMEOUT`].
const MAX_DOUBLINGS: u32 = 9;

/// The smoothed round trip time, and the exponential backoff of the timeout.
#[derive(Debug, Clone)]
pub(super) struct RttEstimator {
    /// `None` until the first sample.
    smoothed: Option<Duration>,
    /// The timeout until the first sample.
    initial_timeout: Duration,
    doublings: u32,
    /// The timeout was doubled since the last answer.
    backed_off: bool,
}

impl RttEstimator {
    /// An estimator without samples.
    pub(super) fn new(initial_timeout: Duration) -> Self {
        Self { smoothed: None, initial_timeout, doublings: 0, backed_off: false }
    }

    /// Adds a sample, measured on a packet that was sent once only (Karn's rule), and resets the backoff.
    pub(super) fn add_sample(&mut self, sample: Duration) {
        self.doublings = 0;
        self.smoothed = Some(self.smoothed.map_or(sample, |smoothed| (smoothed * 7 + sample) / 8));
    }

    /// Handles an answer that gives no sample. The first one after a backoff may be a late answer to an earlier packet
    /// (Karn's rule) and leaves the timeout as it is. The next one shows that packets get through and resets the backoff.
    /// Without this reset, the timeout only grows on a network that reorders packets, where almost every window has a
    /// retransmit.
    pub(super) fn handle_answer(&mut self) {
        if !std::mem::take(&mut self.backed_off) {
            self.doublings = 0;
        }
    }

    /// The current retransmit timeout.
    pub(super) fn timeout(&self) -> Duration {
        let base = self.smoothed.map_or(self.initial_timeout, |smoothed| (smoothed * RTT_FACTOR).max(MIN_TIMEOUT));
        base.saturating_mul(1 << self.doublings).min(MAX_TIMEOUT.max(self.initial_timeout))
    }

    /// Doubles the timeout, because it expired without an answer.
    pub(super) fn back_off(&mut self) {
        self.doublings = (self.doublings + 1).min(MAX_DOUBLINGS);
        self.backed_off = true;
    }

    /// The shortest time in which an answer can arrive: half the smoothed round trip time, because single round trips are
    /// shorter than the smoothed one. Zero until the first sample.
    pub(super) fn min_answer_time(&self) -> Duration {
        self.smoothed.unwrap_or_default() / 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeout_follows_rtt_and_doubles() {
        let mut rtt = RttEstimator::new(Duration::from_secs(1));
        assert_eq!(rtt.timeout(), Duration::from_secs(1));
        rtt.add_sample(Duration::from_micros(100));
        assert_eq!(rtt.timeout(), MIN_TIMEOUT);
        rtt.back_off();
        assert_eq!(rtt.timeout(), 2 * MIN_TIMEOUT);
        for _ in 0..40 {
            rtt.back_off();
        }
        assert_eq!(rtt.timeout(), MAX_TIMEOUT);
        rtt.add_sample(Duration::from_millis(80));
        assert_eq!(rtt.timeout(), 4 * (Duration::from_micros(700) + Duration::from_millis(80)) / 8);
    }

    #[test]
    fn second_answer_in_row_resets_backoff() {
        let mut rtt = RttEstimator::new(Duration::from_secs(1));
        rtt.add_sample(Duration::from_micros(100));
        for _ in 0..3 {
            rtt.back_off();
        }
        rtt.handle_answer();
        assert_eq!(rtt.timeout(), 8 * MIN_TIMEOUT, "it may answer the first copy");
        rtt.back_off();
        rtt.handle_answer();
        assert_eq!(rtt.timeout(), 16 * MIN_TIMEOUT);
        rtt.handle_answer();
        assert_eq!(rtt.timeout(), MIN_TIMEOUT);
    }
}
