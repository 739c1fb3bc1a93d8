//! The time that a peer has left to make progress. Progress is bytes of bodies that the peer takes, at a floor.

use std::time::Duration;

use tokio::time::Instant;

/// When a peer that makes no progress is given up.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ProgressLimits {
    /// How long a peer may be idle.
    pub(crate) idle_timeout: Duration,
    /// Bytes a second that a peer has to take, averaged over the idle timeout; at least 1.
    pub(crate) min_rate: u64,
}

/// The time that one peer has left. Time passes, and each byte that the peer takes gives back what it may take at the floor; so
/// that a peer which is steadily faster always has the whole idle timeout left.
#[derive(Debug)]
pub(super) struct ProgressTimer {
    limits: ProgressLimits,
    deadline: Instant,
}

impl ProgressTimer {
    /// Starts with the whole idle timeout.
    pub(super) fn new(limits: ProgressLimits, now: Instant) -> Self {
        Self { limits, deadline: now + limits.idle_timeout }
    }

    /// When the peer is given up.
    pub(super) fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Whether the peer is given up.
    pub(super) fn is_expired(&self, now: Instant) -> bool {
        self.deadline <= now
    }

    /// Gives the peer the whole idle timeout again.
    pub(super) fn restart(&mut self, now: Instant) {
        self.deadline = now + self.limits.idle_timeout;
    }

    /// Records that the peer took `bytes`.
    pub(super) fn credit(&mut self, bytes: u64, now: Instant) {
        let whole = self.limits.idle_timeout;
        #[expect(clippy::cast_precision_loss, reason = "of more bytes than 2^53, none are needed")]
        let earned = bytes as f64 / self.limits.min_rate.max(1) as f64;
        let earned = Duration::try_from_secs_f64(earned).unwrap_or(whole).min(whole);
        self.deadline = (self.deadline + earned).min(now + whole);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDLE: Duration = Duration::from_secs(10);
    const LIMITS: ProgressLimits = ProgressLimits { idle_timeout: IDLE, min_rate: 100 };

    /// How many seconds a peer lives that takes `bytes` each second; at most an hour.
    fn lifetime(bytes: u64) -> u64 {
        let start = Instant::now();
        let mut timer = ProgressTimer::new(LIMITS, start);
        (1..3600)
            .find(|&second| {
                let now = start + Duration::from_secs(second);
                let expired = timer.is_expired(now);
                timer.credit(bytes, now);
                expired
            })
            .unwrap_or(3600)
    }

    #[test]
    fn floor_decides_how_long_peer_lives() {
        assert_eq!(lifetime(0), 10);
        assert!((10..30).contains(&lifetime(50)), "{}", lifetime(50));
        assert_eq!(lifetime(101), 3600);
        assert_eq!(lifetime(u64::MAX), 3600);
    }
}
