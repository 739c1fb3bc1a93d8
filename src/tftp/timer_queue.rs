//! Timers of many transfers in one binary heap. Each timer has one live entry that moves lazily: an ACK moves a
//! transfer's deadline thousands of times before the timer ever fires.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Instant;

/// Timer entries, the earliest first. `K` identifies the owner of a timer.
pub(super) struct TimerQueue<K>(BinaryHeap<Reverse<(Instant, K)>>);

/// The time of an owner's earliest entry. The owner keeps it; entries at any other time are stale.
#[derive(Debug, Default)]
pub(super) struct Timer(Option<Instant>);

impl<K: Ord + Copy> TimerQueue<K> {
    /// An empty queue.
    pub(super) fn new() -> Self {
        Self(BinaryHeap::new())
    }

    /// Ensures that `timer` fires for `key` at `due` or earlier.
    pub(super) fn schedule(&mut self, timer: &mut Timer, due: Instant, key: K) {
        if timer.0.is_none_or(|at| due < at) {
            timer.0 = Some(due);
            self.0.push(Reverse((due, key)));
        }
    }

    /// The time of the earliest entry, stale or not.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.0.peek().map(|Reverse((at, _))| *at)
    }

    /// Removes the earliest entry if it is due at `now`, and returns its time and key. The entry may be stale: see
    /// [`Timer::fire`].
    pub(super) fn pop_due(&mut self, now: Instant) -> Option<(Instant, K)> {
        let due = self.0.peek().is_some_and(|Reverse((at, _))| *at <= now);
        due.then(|| self.0.pop().map(|Reverse(entry)| entry)).flatten()
    }
}

impl Timer {
    /// Returns whether the entry that was due at `at` is this timer's live one, and clears the timer if so.
    pub(super) fn fire(&mut self, at: Instant) -> bool {
        let live = self.0 == Some(at);
        if live {
            self.0 = None;
        }
        live
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn timer_fires_once_at_earliest_time() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let (mut queue, mut timer) = (TimerQueue::new(), Timer::default());
        queue.schedule(&mut timer, at(50), 'a');
        queue.schedule(&mut timer, at(90), 'a');
        queue.schedule(&mut timer, at(20), 'a');
        assert_eq!((queue.next_due(), queue.pop_due(at(10))), (Some(at(20)), None));
        let (due, key) = queue.pop_due(at(60)).unwrap();
        assert_eq!((key, timer.fire(due)), ('a', true));
        let (due, _) = queue.pop_due(at(60)).unwrap();
        assert!(!timer.fire(due), "the entry at 50 ms is stale");
        assert_eq!(queue.next_due(), None);
    }
}
