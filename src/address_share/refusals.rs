//! Counts and logs the clients that one limit refuses.

use std::fmt::Display;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::scope::Scope;

/// The shortest time between two log lines of one limit: a client that is refused repeats its request many times a second.
const LOG_INTERVAL: Duration = Duration::from_secs(10);

/// The refusals of one limit, in the metric `bootdepot_limit_refusals_total` and in the log.
#[derive(Debug)]
pub struct Refusals {
    limit: &'static str,
    logged: Mutex<Option<Instant>>,
}

impl Refusals {
    /// Refusals of the limit of this name.
    pub fn new(limit: &'static str) -> Self {
        Self { limit, logged: Mutex::new(None) }
    }

    /// Records that a client was refused.
    pub fn record(&self, scope: Scope, client: impl Display) {
        metrics::counter!("bootdepot_limit_refusals_total", "limit" => self.limit, "scope" => scope.as_str())
            .increment(1);
        if self.is_due(Instant::now()) {
            tracing::warn!(limit = self.limit, scope = scope.as_str(), %client, "limit reached");
        }
    }

    fn is_due(&self, now: Instant) -> bool {
        let mut logged = self.logged.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let due = logged.is_none_or(|at| now.saturating_duration_since(at) >= LOG_INTERVAL);
        if due {
            *logged = Some(now);
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_logged_at_intervals() {
        let (refusals, now) = (Refusals::new("test"), Instant::now());
        assert!(refusals.is_due(now));
        assert!(!refusals.is_due(now + LOG_INTERVAL / 2));
        assert!(refusals.is_due(now + LOG_INTERVAL));
    }
}
