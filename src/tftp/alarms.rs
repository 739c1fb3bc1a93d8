//! The alarm clock of many transfers: one entry each, moved lazily, since an ACK moves a transfer's time thousands of
//! times before it ever rings.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Instant;

/// Alarms, by key.
pub(super) struct Alarms<K>(BinaryHeap<Reverse<(Instant, K)>>);

/// When a key's earliest entry rings; kept by its owner. An entry at another time is void.
#[derive(Debug, Default)]
pub(super) struct Alarm(Option<Instant>);

impl<K: Ord + Copy> Alarms<K> {
    /// No alarms.
    pub(super) fn new() -> Self {
        Self(BinaryHeap::new())
    }

    /// Sees to it that `key` rings at `due` or earlier.
    pub(super) fn set(&mut self, alarm: &mut Alarm, due: Instant, key: K) {
        if alarm.0.is_none_or(|at| due < at) {
            alarm.0 = Some(due);
            self.0.push(Reverse((due, key)));
        }
    }

    /// The next time something may ring.
    pub(super) fn next(&self) -> Option<Instant> {
        self.0.peek().map(|Reverse((at, _))| *at)
    }

    /// The next key whose entry has come due, and when it was due.
    pub(super) fn pop(&mut self, now: Instant) -> Option<(Instant, K)> {
        let due = self.0.peek().is_some_and(|Reverse((at, _))| *at <= now);
        due.then(|| self.0.pop().map(|Reverse(entry)| entry)).flatten()
    }
}

impl Alarm {
    /// Whether the entry that was due at `at` is this alarm's; if so it is used up.
    pub(super) fn rings(&mut self, at: Instant) -> bool {
        let rings = self.0 == Some(at);
        if rings {
            self.0 = None;
        }
        rings
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn an_alarm_rings_at_its_earliest_time_once() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let (mut alarms, mut alarm) = (Alarms::new(), Alarm::default());
        alarms.set(&mut alarm, at(50), 'a');
        alarms.set(&mut alarm, at(90), 'a');
        alarms.set(&mut alarm, at(20), 'a');
        assert_eq!((alarms.next(), alarms.pop(at(10))), (Some(at(20)), None));
        let (due, key) = alarms.pop(at(60)).unwrap();
        assert_eq!((key, alarm.rings(due)), ('a', true));
        let (due, _) = alarms.pop(at(60)).unwrap();
        assert!(!alarm.rings(due), "the entry at 50 is void");
        assert_eq!(alarms.next(), None);
    }
}
