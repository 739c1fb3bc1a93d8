//! What other threads tell a port's loop: a list, and a bell that ends the loop's sleep.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use rustix::event::{EventfdFlags, eventfd};

/// A mailbox of `T`.
pub(super) struct Mailbox<T> {
    posts: Mutex<Vec<T>>,
    bell: OwnedFd,
    /// The bell was rung and not answered yet.
    rung: AtomicBool,
}

impl<T> Mailbox<T> {
    /// An empty mailbox.
    pub(super) fn new() -> io::Result<Self> {
        let bell = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Self { posts: Mutex::default(), bell, rung: AtomicBool::new(false) })
    }

    /// Puts `post` in and rings.
    pub(super) fn post(&self, post: T) {
        let mut posts = self.posts.lock().unwrap_or_else(PoisonError::into_inner);
        posts.push(post);
        // Under the lock: a bell that sounds only after its post was taken would be silenced by nobody.
        if !self.rung.swap(true, Ordering::AcqRel) {
            // Fails only when the counter is full, and then the bell rings anyway.
            let _ = rustix::io::write(&self.bell, &1u64.to_ne_bytes());
        }
    }

    /// Moves all posts into `into` and silences the bell.
    pub(super) fn take(&self, into: &mut Vec<T>) {
        if self.rung.load(Ordering::Acquire) {
            let mut posts = self.posts.lock().unwrap_or_else(PoisonError::into_inner);
            let _ = rustix::io::read(&self.bell, &mut [0; 8]);
            self.rung.store(false, Ordering::Release);
            into.append(&mut posts);
        }
    }
}

impl<T> AsFd for Mailbox<T> {
    /// Readable while the bell rings.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    use std::sync::Barrier;

    fn rings(mailbox: &Mailbox<u32>) -> bool {
        poll(&mut [PollFd::new(mailbox, PollFlags::IN)], Some(&Timespec::default())).unwrap() > 0
    }

    #[test]
    fn the_bell_rings_until_the_posts_are_taken() {
        let (mailbox, mut posts) = (Mailbox::new().unwrap(), Vec::new());
        assert!(!rings(&mailbox));
        mailbox.post(1);
        mailbox.post(2);
        assert!(rings(&mailbox));
        mailbox.take(&mut posts);
        assert!(!rings(&mailbox));
        assert_eq!(posts, [1, 2]);
    }

    #[test]
    fn no_bell_rings_for_a_post_that_was_taken() {
        const ROUNDS: u32 = 20_000;
        let (mailbox, turn) = (Mailbox::new().unwrap(), Barrier::new(2));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for round in 0..ROUNDS {
                    mailbox.post(round);
                    turn.wait();
                    turn.wait();
                }
            });
            let (mut posts, mut false_alarms) = (Vec::new(), 0);
            for _ in 0..ROUNDS {
                while posts.is_empty() {
                    mailbox.take(&mut posts);
                }
                posts.clear();
                turn.wait();
                false_alarms += u32::from(rings(&mailbox));
                turn.wait();
            }
            assert_eq!(false_alarms, 0);
        });
    }
}
