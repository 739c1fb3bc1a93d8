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
        self.posts.lock().unwrap_or_else(PoisonError::into_inner).push(post);
        if !self.rung.swap(true, Ordering::AcqRel) {
            // Fails only when the counter is full, and then the bell rings anyway.
            let _ = rustix::io::write(&self.bell, &1u64.to_ne_bytes());
        }
    }

    /// Moves all posts into `into` and silences the bell.
    pub(super) fn take(&self, into: &mut Vec<T>) {
        if self.rung.load(Ordering::Acquire) {
            // Silenced before the list is taken: what is posted from here on rings anew.
            let _ = rustix::io::read(&self.bell, &mut [0; 8]);
            self.rung.store(false, Ordering::Release);
            into.append(&mut self.posts.lock().unwrap_or_else(PoisonError::into_inner));
        }
    }
}

impl<T> AsFd for Mailbox<T> {
    /// Readable while the bell rings.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }
}
