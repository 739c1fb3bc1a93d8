//! The blobs that wait for their seals, and when each is tried again.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use crate::asset::Digest;
use crate::backoff::{Backoff, BackoffPolicy};

/// While another process has a file open for writing it cannot be sealed. The file is tried again after these times, 1 s to
/// 1 min apart, and then left to the scrub.
const RETRY: BackoffPolicy = BackoffPolicy { first: Duration::from_secs(1), max: Duration::from_mins(1), jitter: 0.0 };
const MAX_FAILURES: u32 = 10;

/// A queue of blobs to seal.
#[derive(Debug, Default)]
pub(in crate::cache) struct SealQueue {
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    requests: Vec<SealRequest>,
    closed: bool,
}

/// One blob to seal.
#[derive(Debug)]
pub(in crate::cache) struct SealRequest {
    pub(in crate::cache) digest: Digest,
    due: Instant,
    backoff: Backoff,
}

impl SealQueue {
    /// Adds a blob, unless it waits already.
    pub(in crate::cache) fn push(&self, digest: Digest) {
        self.waiting.lock().push(digest, Instant::now());
        self.changed.notify_all();
    }

    /// Adds a blob again whose file was open for writing. Returns whether it will be tried again.
    pub(in crate::cache) fn retry(&self, request: SealRequest) -> bool {
        let again = self.waiting.lock().retry(request, Instant::now());
        self.changed.notify_all();
        again
    }

    /// The next blob whose time has come, without waiting for one.
    pub(in crate::cache) fn take_due(&self) -> Option<SealRequest> {
        self.waiting.lock().take_due(Instant::now())
    }

    /// Waits for the next blob whose time has come. `None` once the queue is closed.
    pub(in crate::cache) fn wait_due(&self) -> Option<SealRequest> {
        let mut waiting = self.waiting.lock();
        loop {
            if waiting.closed {
                return None;
            }
            if let Some(request) = waiting.take_due(Instant::now()) {
                return Some(request);
            }
            match waiting.requests.iter().map(|request| request.due).min() {
                Some(due) => drop(self.changed.wait_until(&mut waiting, due)),
                None => self.changed.wait(&mut waiting),
            }
        }
    }

    /// Rests for this time, or until the queue is closed.
    pub(in crate::cache) fn rest(&self, time: Duration) -> ControlFlow<()> {
        let until = Instant::now() + time;
        let mut waiting = self.waiting.lock();
        // Also notified when blobs are added.
        while !waiting.closed && !self.changed.wait_until(&mut waiting, until).timed_out() {}
        if waiting.closed { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    /// Ends all waits and rests.
    pub(in crate::cache) fn close(&self) {
        self.waiting.lock().closed = true;
        self.changed.notify_all();
    }
}

impl Waiting {
    fn push(&mut self, digest: Digest, now: Instant) {
        if self.requests.iter().all(|request| request.digest != digest) {
            self.requests.push(SealRequest { digest, due: now, backoff: Backoff::new(RETRY) });
        }
    }

    fn retry(&mut self, mut request: SealRequest, now: Instant) -> bool {
        request.due = now + request.backoff.next_delay();
        let again = request.backoff.failures() <= MAX_FAILURES;
        if again {
            self.requests.push(request);
        }
        again
    }

    fn take_due(&mut self, now: Instant) -> Option<SealRequest> {
        let first = self.requests.iter().enumerate().min_by_key(|(_, request)| request.due)?.0;
        (self.requests[first].due <= now).then(|| self.requests.remove(first))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blobs_are_sealed_in_order_of_admission() {
        let queue = SealQueue::default();
        let digests = [b"a", b"b", b"c"].map(|name| Digest::of(name));
        for digest in digests.iter().chain(&digests) {
            queue.push(*digest);
        }
        let taken: Vec<_> = std::iter::from_fn(|| queue.take_due()).map(|request| request.digest).collect();
        assert_eq!(taken, digests, "each once");
    }

    #[test]
    fn busy_blob_is_retried_later_then_given_up() {
        let mut waiting = Waiting::default();
        let mut now = Instant::now();
        waiting.push(Digest::of(b"busy"), now);
        let mut delays = Vec::new();
        while let Some(request) = waiting.take_due(now) {
            if waiting.retry(request, now) {
                assert!(waiting.take_due(now).is_none(), "it is not due at once");
                let due = waiting.requests[0].due;
                delays.push(due.duration_since(now).as_secs());
                now = due;
            }
        }
        assert_eq!(delays, [1, 2, 4, 8, 16, 32, 60, 60, 60, 60]);
    }

    #[test]
    fn closed_queue_ends_waits() {
        let queue = SealQueue::default();
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| queue.wait_due().is_none());
            let resting = scope.spawn(|| queue.rest(Duration::from_hours(24)));
            queue.close();
            assert!(waiting.join().unwrap());
            assert!(resting.join().unwrap().is_break());
        });
        queue.push(Digest::of(b"late"));
        assert!(queue.wait_due().is_none());
        assert!(queue.rest(Duration::ZERO).is_break());
    }
}
