//! One reader of an asset that bypasses the cache. It holds back the end of its range until all that it has sent is verified.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;

use super::bypass_window::{Piece, ReaderId};
use super::bypasses::{BypassTarget, Bypasses, Membership};
use super::error::ReadError;
use super::not_stored::Remains;
use super::progress::HELD_TAIL;
use super::shared_bypass::SharedBypass;
use crate::asset::ByteRange;

/// Bytes that were sent before, and that only what is left of their fill can prove.
pub(super) struct Unproven {
    pub(super) remains: Arc<Remains>,
    pub(super) range: ByteRange,
    /// Why the fill ended that sent them.
    pub(super) reason: String,
}

/// A reader that bypasses the cache.
pub(super) struct BypassReader {
    bypasses: Bypasses,
    target: BypassTarget,
    /// The bytes that are still to be sent.
    rest: ByteRange,
    /// Where the held back end begins.
    sendable: u64,
    /// The bytes that are still to be taken from the shared read.
    wanted: ByteRange,
    attempt: u64,
    current: Option<Membership>,
    /// Bytes of the held back end.
    held: VecDeque<Bytes>,
    unproven: Option<Unproven>,
    /// Whether bytes of the current read were sent.
    sent_current: bool,
    /// Reads that left this reader behind after it had sent bytes of them.
    earlier: Vec<Earlier>,
}

/// A read that bytes were sent of.
struct Earlier {
    membership: Membership,
    attempt: u64,
}

impl BypassReader {
    /// A reader of `range` that has sent nothing.
    pub(super) fn new(bypasses: Bypasses, target: BypassTarget, range: ByteRange) -> Self {
        Self {
            bypasses,
            target,
            rest: range,
            sendable: range.end.saturating_sub(HELD_TAIL).max(range.start),
            wanted: range,
            attempt: 0,
            current: None,
            held: VecDeque::new(),
            unproven: None,
            sent_current: false,
            earlier: Vec::new(),
        }
    }

    /// Continues at `offset`: the bytes before were sent. They are verified, except those of `unproven`.
    pub(super) fn resuming_at(mut self, offset: u64, unproven: Option<Unproven>) -> Self {
        self.rest.start = offset;
        self.wanted.start = offset;
        if unproven.is_some() {
            // Only a read of the whole, from its first byte, compares them.
            self.target.block_list = None;
        }
        self.unproven = unproven;
        self
    }

    /// The next bytes; `None` after the last.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, ReadError> {
        while !self.rest.is_empty() {
            let (read, id) = self.current();
            // Before the state is checked, so that no change is missed.
            let mut arrivals = read.subscribe();
            if self.wanted.is_empty() {
                if self.prove(&read).await? {
                    return Ok(self.take_held());
                }
                self.forget_held();
            }
            let verified = read.is_verified() && self.is_settled();
            let sendable = if verified { self.rest.end } else { self.sendable };
            match read.take(id, self.attempt, self.wanted, sendable)? {
                Piece::Bytes(bytes) => {
                    let is_sendable = self.wanted.start < sendable && self.held.is_empty();
                    self.wanted.start += bytes.len() as u64;
                    if is_sendable {
                        self.sent_current = true;
                        self.rest.start = self.wanted.start;
                        return Ok(Some(bytes));
                    }
                    self.held.push_back(bytes);
                }
                // The read is part of this reader, so this cannot fail.
                Piece::Nothing => drop(arrivals.changed().await),
                Piece::LeftBehind => self.leave(),
                Piece::Restarted(attempt) => {
                    self.attempt = attempt;
                    self.forget_held();
                }
            }
        }
        Ok(None)
    }

    /// The shared read. The first reader begins it, later ones join it.
    fn current(&mut self) -> (Arc<SharedBypass>, ReaderId) {
        let (bypasses, target, wanted) = (&self.bypasses, &self.target, self.wanted);
        let remains = self.unproven.as_ref().map(|unproven| &unproven.remains);
        let current = self.current.get_or_insert_with(|| bypasses.join(target, wanted, remains));
        (Arc::clone(&current.read), current.id)
    }

    /// Leaves the current read. If bytes of it were sent, its end must prove them.
    fn leave(&mut self) {
        let left = self.current.take().filter(|_| self.sent_current);
        self.earlier.extend(left.map(|membership| Earlier { membership, attempt: self.attempt }));
        (self.attempt, self.sent_current) = (0, false);
        self.forget_held();
    }

    fn forget_held(&mut self) {
        self.held.clear();
        self.wanted.start = self.rest.start;
    }

    /// Whether nothing but the current read has to prove bytes.
    fn is_settled(&self) -> bool {
        self.unproven.is_none() && self.earlier.is_empty()
    }

    /// Waits until all bytes that were sent and are held are verified. Returns `false` if those that are held are void. Fails
    /// if some that were sent never will be verified.
    async fn prove(&self, read: &SharedBypass) -> Result<bool, ReadError> {
        if !read.wait_verified(self.attempt).await? {
            return Ok(false);
        }
        for earlier in &self.earlier {
            earlier.membership.read.wait_verified(earlier.attempt).await?;
        }
        let Some(Unproven { range, reason, .. }) = &self.unproven else { return Ok(true) };
        let mut reads = self.earlier.iter().map(|earlier| &*earlier.membership.read).chain([read]);
        if reads.any(|read| read.matches(*range)) {
            return Ok(true);
        }
        let reason = format!("{reason}; bytes {range}, which were sent before, are not those of the origin");
        Err(ReadError::Disk(reason))
    }

    fn take_held(&mut self) -> Option<Bytes> {
        let bytes = self.held.pop_front();
        self.rest.start += bytes.as_ref().map_or(0, |bytes| bytes.len() as u64);
        bytes
    }
}
