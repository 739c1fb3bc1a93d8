//! A queue that other threads push to, with an eventfd that wakes the consumer from its epoll wait.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use rustix::event::{EventfdFlags, eventfd};

/// A multi-producer queue of `T` with one consumer.
pub(super) struct WakeQueue<T> {
    messages: Mutex<Vec<T>>,
    eventfd: OwnedFd,
    /// The eventfd was written to and not read since.
    signalled: AtomicBool,
}

impl<T> WakeQueue<T> {
    /// An empty queue. Fails if the process has no file descriptor left.
    pub(super) fn new() -> io::Result<Self> {
        let eventfd = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Self { messages: Mutex::default(), eventfd, signalled: AtomicBool::new(false) })
    }

    /// Appends a message and wakes the consumer.
    pub(super) fn push(&self, message: T) {
        let mut messages = self.messages.lock();
        messages.push(message);
        // Under the lock: a signal sent after its message was drained would never be cleared.
        if !self.signalled.swap(true, Ordering::AcqRel) {
            // Fails only if the counter is full, and then the eventfd is readable anyway.
            let _ = rustix::io::write(&self.eventfd, &1u64.to_ne_bytes());
        }
    }

    /// Moves all messages into `into` and clears the signal.
    pub(super) fn drain_into(&self, into: &mut Vec<T>) {
        if self.signalled.load(Ordering::Acquire) {
            let mut messages = self.messages.lock();
            let _ = rustix::io::read(&self.eventfd, &mut [0; 8]);
            self.signalled.store(false, Ordering::Release);
            into.append(&mut messages);
        }
    }
}

impl<T> AsFd for WakeQueue<T> {
    /// The eventfd: readable while messages wait.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.eventfd.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    use std::sync::Barrier;

    fn is_readable(queue: &WakeQueue<u32>) -> bool {
        poll(&mut [PollFd::new(queue, PollFlags::IN)], Some(&Timespec::default())).unwrap() > 0
    }

    #[test]
    fn eventfd_readable_until_queue_drained() {
        let (queue, mut messages) = (WakeQueue::new().unwrap(), Vec::new());
        assert!(!is_readable(&queue));
        queue.push(1);
        queue.push(2);
        assert!(is_readable(&queue));
        queue.drain_into(&mut messages);
        assert!(!is_readable(&queue));
        assert_eq!(messages, [1, 2]);
    }

    #[test]
    fn drained_message_leaves_no_signal() {
        const ROUNDS: u32 = 20_000;
        let (queue, turn) = (WakeQueue::new().unwrap(), Barrier::new(2));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for round in 0..ROUNDS {
                    queue.push(round);
                    turn.wait();
                    turn.wait();
                }
            });
            let (mut messages, mut spurious) = (Vec::new(), 0);
            for _ in 0..ROUNDS {
                while messages.is_empty() {
                    queue.drain_into(&mut messages);
                }
                messages.clear();
                turn.wait();
                spurious += u32::from(is_readable(&queue));
                turn.wait();
            }
            assert_eq!(spurious, 0);
        });
    }
}
