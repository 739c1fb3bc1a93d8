//! One read of the origin that bypasses the cache, shared by all readers that want the asset at about the same time. Each
//! byte is read from the origin once for all of them.
//!
//! The read keeps a window of the last bytes. It waits for a slow reader for a while, so that all stay together; then it
//! leaves that reader behind, which begins or joins another read.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use super::bypass::Bypass;
use super::error::ReadError;
use super::not_stored::Remains;
use super::range_set::RangeSet;
use crate::asset::{ByteRange, Verifier};
use crate::task::{TaskPanicked, blocking};

/// Bytes that are kept for slower readers: with 64 reads at a time (8 fills with 8 connections), at most 256 MiB.
const WINDOW: u64 = 4 << 20;
/// Bytes that are read before the fastest reader wants them.
const READ_AHEAD: u64 = 1 << 20;
/// How long a read waits for slow readers in total while others have sent all that it has.
const PATIENCE: Duration = Duration::from_secs(2);

/// A read that several readers share.
pub(super) struct SharedBypass {
    /// The first byte that it reads.
    start: u64,
    /// Whether its bytes are verified block by block, as they arrive.
    by_blocks: bool,
    /// What is left of a fill that was not stored: its bytes are compared with those of the origin.
    remains: Option<Arc<Remains>>,
    state: Mutex<State>,
    /// Increases when bytes arrive, and at the end.
    arrivals: watch::Sender<u64>,
    /// Notified when a reader takes bytes or leaves.
    taken: Notify,
    /// Notified when a reader leaves.
    left: Notify,
}

/// Identifies a reader of one read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ReaderId(u64);

/// What a reader gets.
#[derive(Debug)]
pub(super) enum Piece {
    /// The next bytes.
    Bytes(Bytes),
    /// Nothing yet.
    Nothing,
    /// The bytes are not kept any more: the reader was too slow.
    LeftBehind,
    /// Another source is read from the beginning, as the attempt of this number. Bytes of an earlier attempt are void; none
    /// of them was sent.
    Restarted(u64),
}

#[derive(Default)]
struct State {
    /// Pieces with their offsets, without gaps.
    window: VecDeque<(u64, Bytes)>,
    /// The offsets of the first byte in the window, and of the byte after the last.
    from: u64,
    to: u64,
    /// The number of sources that were begun, less one.
    attempt: u64,
    /// Whether a reader has sent bytes of this attempt.
    is_sent: bool,
    /// The bytes that the fill had too.
    matching: RangeSet,
    /// The hash of the bytes as far as the fill had hashed its own.
    prefix: Verifier,
    readers: BTreeMap<ReaderId, Place>,
    next_reader: u64,
    /// How the read ended.
    end: Option<Result<(), ReadError>>,
}

/// How far a reader is.
#[derive(Debug, Clone, Copy)]
struct Place {
    at: u64,
    end: u64,
}

/// What the read does next.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    /// Reads more bytes.
    Read,
    /// Waits until a reader takes bytes or leaves.
    Wait,
    /// Waits for a slow reader, with others that have nothing left to send.
    WaitForSlow,
}

impl SharedBypass {
    /// A read that begins at byte `start`, and its first reader, of `range`.
    pub(super) fn new(
        start: u64,
        by_blocks: bool,
        remains: Option<Arc<Remains>>,
        range: ByteRange,
    ) -> (Self, ReaderId) {
        let mut state = State { from: start, to: start, ..State::default() };
        let id = state.add_reader(range);
        let (arrivals, taken, left) = (watch::Sender::new(0), Notify::new(), Notify::new());
        (Self { start, by_blocks, remains, state: Mutex::new(state), arrivals, taken, left }, id)
    }

    /// Adds a reader of `range`, if the read has not ended and still has its first byte. A reader that has sent bytes of
    /// a fill needs a read that compares them with what is left of it.
    pub(super) fn join(&self, range: ByteRange, by_blocks: bool, remains: Option<&Arc<Remains>>) -> Option<ReaderId> {
        let compares = match (remains, &self.remains) {
            (None, _) => true,
            (Some(wanted), Some(compared)) => Arc::ptr_eq(wanted, compared),
            (Some(_), None) => false,
        };
        if self.by_blocks != by_blocks || !compares {
            return None;
        }
        self.state().join(range, by_blocks)
    }

    /// Subscribes to arriving bytes and the end.
    pub(super) fn subscribe(&self) -> watch::Receiver<u64> {
        self.arrivals.subscribe()
    }

    /// Takes the next bytes of `range`, of the attempt that the reader knows. Those before `sendable` may be sent at once.
    pub(super) fn take(&self, id: ReaderId, attempt: u64, range: ByteRange, sendable: u64) -> Result<Piece, ReadError> {
        let piece = self.state().take(id, attempt, range, sendable);
        if matches!(piece, Ok(Piece::Bytes(_) | Piece::LeftBehind)) {
            self.taken.notify_one();
        }
        piece
    }

    /// Whether its bytes are verified: as they arrive, or all of them at the end.
    pub(super) fn is_verified(&self) -> bool {
        self.by_blocks || matches!(self.state().end, Some(Ok(())))
    }

    /// Whether the fill had these bytes of the origin. Only meaningful once they are verified.
    pub(super) fn matches(&self, range: ByteRange) -> bool {
        self.state().matching.covers(range)
    }

    /// Waits until its bytes are verified. Returns whether they are those of `attempt`.
    pub(super) async fn wait_verified(&self, attempt: u64) -> Result<bool, ReadError> {
        let mut arrivals = self.subscribe();
        loop {
            let (end, current) = {
                let state = self.state();
                (state.end.clone(), state.attempt)
            };
            match end {
                _ if current != attempt => return Ok(false),
                _ if self.by_blocks => return Ok(true),
                Some(end) => return end.map(|()| true),
                // The sender is part of `self`, so this cannot fail.
                None => drop(arrivals.changed().await),
            }
        }
    }

    /// Removes a reader.
    pub(super) fn leave(&self, id: ReaderId) {
        self.state().readers.remove(&id);
        self.taken.notify_one();
        self.left.notify_one();
    }

    /// Reads to the end, or until no reader is left.
    pub(super) async fn run(&self, bypass: impl Future<Output = Bypass>) {
        let guard = EndGuard(self);
        let reading = async {
            let mut bypass = bypass.await;
            let mut patience = PATIENCE;
            loop {
                self.wait_for_room(&mut patience).await;
                match bypass.next(&mut || self.restart()).await {
                    Ok(Some(bytes)) => self.add(bytes).await,
                    Ok(None) => return Ok(()),
                    Err(error) => return Err(error),
                }
            }
        };
        let end = tokio::select! {
            end = reading => end,
            () = self.wait_abandoned() => Err(ReadError::Closing),
        };
        guard.end(end);
    }

    /// Waits until more bytes are wanted.
    async fn wait_for_room(&self, patience: &mut Duration) {
        loop {
            let taken = self.taken.notified();
            let step = self.state().next_step(self.by_blocks, patience.is_zero());
            match step {
                Step::Read => return,
                Step::Wait => taken.await,
                Step::WaitForSlow => {
                    let began = Instant::now();
                    let _ = tokio::time::timeout(*patience, taken).await;
                    *patience = patience.saturating_sub(began.elapsed());
                }
            }
        }
    }

    /// Waits until no reader is left. From then on none can join.
    async fn wait_abandoned(&self) {
        loop {
            let left = self.left.notified();
            if self.state().end_if_abandoned() {
                return;
            }
            left.await;
        }
    }

    /// Begins again with another source, unless bytes were sent.
    fn restart(&self) -> bool {
        let restarted = self.state().restart(self.start, self.by_blocks);
        self.arrivals.send_modify(|count| *count += 1);
        restarted
    }

    async fn add(&self, bytes: Bytes) {
        if let Some(remains) = &self.remains {
            self.compare(Arc::clone(remains), bytes.clone()).await;
        }
        self.state().add(bytes);
        self.arrivals.send_modify(|count| *count += 1);
    }

    /// Compares the next bytes with what is left of the fill: with its hash of the first bytes, and with those that the disk
    /// can still read.
    async fn compare(&self, remains: Arc<Remains>, bytes: Bytes) {
        let (at, mut prefix) = {
            let state = self.state();
            (state.to, state.prefix.clone())
        };
        let (prefix, same) = blocking(move || {
            let hashed = usize::try_from(remains.prefix.length() - prefix.length()).unwrap_or(usize::MAX);
            prefix.update(&bytes[..hashed.min(bytes.len())]);
            let mut same = RangeSet::default();
            if prefix.length() == remains.prefix.length() && prefix.digest() == remains.prefix.digest() {
                same.insert(ByteRange::whole(prefix.length()));
            }
            let mut found = vec![0; bytes.len()];
            if remains.partial.read_at(at, &mut found).is_ok() {
                // The fill may have written the end of them only, or the beginning.
                let pairs = || bytes.iter().zip(&found);
                let first = pairs().take_while(|(ours, theirs)| ours == theirs).count() as u64;
                let last = pairs().rev().take_while(|(ours, theirs)| ours == theirs).count() as u64;
                let end = at + bytes.len() as u64;
                same.insert(ByteRange::new(at, at + first));
                same.insert(ByteRange::new(end - last, end));
            }
            (prefix, same)
        })
        .await;
        let mut state = self.state();
        state.prefix = prefix;
        same.runs().for_each(|range| state.matching.insert(range));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }
}

impl State {
    fn join(&mut self, range: ByteRange, by_blocks: bool) -> Option<ReaderId> {
        // Without blocks every read starts at the first byte, so that waiting for this one costs nothing.
        let is_near = !by_blocks || range.start <= self.to + WINDOW;
        if self.end.is_some() || range.start < self.from || !is_near {
            return None;
        }
        Some(self.add_reader(range))
    }

    fn add_reader(&mut self, range: ByteRange) -> ReaderId {
        let id = ReaderId(self.next_reader);
        self.next_reader += 1;
        self.readers.insert(id, Place { at: range.start, end: range.end });
        id
    }

    fn take(&mut self, id: ReaderId, attempt: u64, range: ByteRange, sendable: u64) -> Result<Piece, ReadError> {
        if attempt != self.attempt {
            return Ok(Piece::Restarted(self.attempt));
        }
        let at = range.start;
        self.readers.insert(id, Place { at, end: range.end });
        if at < self.from {
            // It needs no more bytes, and waits for the end all the same: that proves what it has sent.
            self.readers.insert(id, Place { at: range.end, end: range.end });
            return Ok(Piece::LeftBehind);
        }
        if at >= self.to {
            return match &self.end {
                Some(Err(error)) => Err(error.clone()),
                _ => Ok(Piece::Nothing),
            };
        }
        let after = self.window.partition_point(|(offset, _)| *offset <= at);
        let Some((offset, bytes)) = after.checked_sub(1).and_then(|index| self.window.get(index)) else {
            return Ok(Piece::Nothing);
        };
        let end = (offset + bytes.len() as u64).min(if at < sendable { sendable } else { range.end });
        // Offsets within a piece, whose length is a usize.
        let within = |position: u64| usize::try_from(position - offset).unwrap_or(usize::MAX);
        let piece = bytes.slice(within(at)..within(end));
        self.is_sent |= at < sendable;
        self.readers.insert(id, Place { at: end, end: range.end });
        Ok(Piece::Bytes(piece))
    }

    fn end_if_abandoned(&mut self) -> bool {
        if self.readers.is_empty() {
            self.end.get_or_insert(Err(ReadError::Closing));
        }
        self.readers.is_empty()
    }

    fn add(&mut self, bytes: Bytes) {
        let at = self.to;
        self.to += bytes.len() as u64;
        self.window.push_back((at, bytes));
    }

    fn restart(&mut self, start: u64, by_blocks: bool) -> bool {
        // Blocks are verified, and stay valid.
        if by_blocks {
            return true;
        }
        if self.is_sent {
            return false;
        }
        self.window.clear();
        self.matching.clear();
        self.prefix = Verifier::new();
        (self.from, self.to) = (start, start);
        self.attempt += 1;
        for place in self.readers.values_mut() {
            place.at = start;
        }
        true
    }

    /// Decides what to do next, and drops bytes that need not be kept.
    fn next_step(&mut self, by_blocks: bool, is_impatient: bool) -> Step {
        let slowest = self.readers.values().map(|place| place.at).min().unwrap_or_default();
        while self.to - self.from > WINDOW && self.front_end() <= slowest {
            self.drop_front();
        }
        // A reader that has all bytes of its range waits for the verification of the whole.
        let position = |place: &Place| if place.at >= place.end { u64::MAX } else { place.at };
        let waiting = self.readers.values().filter(|place| !by_blocks || place.at < place.end);
        let fastest = waiting.map(position).max();
        let last = self.readers.values().map(|place| place.end).max().unwrap_or_default();
        let is_wanted =
            fastest.is_some_and(|at| self.to < at.saturating_add(READ_AHEAD)) && (!by_blocks || self.to < last);
        if !is_wanted {
            return Step::Wait;
        }
        if self.to - self.from <= WINDOW {
            return Step::Read;
        }
        if !is_impatient {
            return Step::WaitForSlow;
        }
        while self.to - self.from > WINDOW {
            self.drop_front();
        }
        Step::Read
    }

    fn front_end(&self) -> u64 {
        self.window.front().map_or(self.to, |(offset, bytes)| offset + bytes.len() as u64)
    }

    fn drop_front(&mut self) {
        self.from = self.front_end();
        self.window.pop_front();
    }
}

/// Ends the read when it is dropped, also by a panic.
struct EndGuard<'b>(&'b SharedBypass);

impl EndGuard<'_> {
    fn end(&self, end: Result<(), ReadError>) {
        self.0.state().end.get_or_insert(end);
    }
}

impl Drop for EndGuard<'_> {
    fn drop(&mut self) {
        let panicked = std::thread::panicking();
        let end = if panicked { ReadError::Internal(TaskPanicked) } else { ReadError::Closing };
        self.0.state().end.get_or_insert(Err(end));
        self.0.arrivals.send_modify(|count| *count += 1);
    }
}

#[cfg(test)]
mod tests;
