//! The window of a read that several readers share: which bytes are kept, who may take them, and whether to read on.
//!
//! The window keeps the last bytes. It waits for a slow reader for a while, so that all stay together; then it leaves that
//! reader behind, which begins or joins another read.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;

use super::error::ReadError;
use super::range_set::RangeSet;
use crate::asset::{ByteRange, Verifier};

/// Bytes that are kept for slower readers: with 64 reads at a time (8 fills with 8 connections), at most 256 MiB.
const WINDOW: u64 = 4 << 20;
/// Bytes that are read before the fastest reader wants them.
const READ_AHEAD: u64 = 1 << 20;

/// Identifies a reader of one read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ReaderId(u64);

/// The result of taking bytes.
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

/// The bytes of one read that are kept, and how far its readers are. Pure: no IO and no clock.
#[derive(Default)]
pub(super) struct BypassWindow {
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

/// The next step of the read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Reads more bytes.
    Read,
    /// Waits until a reader takes bytes or leaves.
    Wait,
    /// Waits for a slow reader, with others that have nothing left to send.
    WaitForSlow,
}

impl BypassWindow {
    /// The window of a read that begins at byte `start`.
    pub(super) fn new(start: u64) -> Self {
        Self { from: start, to: start, ..Self::default() }
    }

    /// How the read ended; `None` if it has not.
    pub(super) fn end(&self) -> Option<&Result<(), ReadError>> {
        self.end.as_ref()
    }

    /// Ends the read. Only the first end counts.
    pub(super) fn end_with(&mut self, end: Result<(), ReadError>) {
        self.end.get_or_insert(end);
    }

    /// The number of the source that is being read.
    pub(super) fn attempt(&self) -> u64 {
        self.attempt
    }

    /// The offset of the next byte, and the hash of those before, as far as they were compared.
    pub(super) fn front(&self) -> (u64, Verifier) {
        (self.to, self.prefix.clone())
    }

    /// Records that the fill had the bytes of `same` too, and the hash of the bytes that were compared.
    pub(super) fn record_comparison(&mut self, prefix: Verifier, same: &RangeSet) {
        self.prefix = prefix;
        same.runs().for_each(|range| self.matching.insert(range));
    }

    /// Whether the fill had these bytes too.
    pub(super) fn matches(&self, range: ByteRange) -> bool {
        self.matching.covers(range)
    }

    /// Adds a reader of `range`. `None` if the read has ended, or does not keep its first byte.
    pub(super) fn join(&mut self, range: ByteRange, by_blocks: bool) -> Option<ReaderId> {
        // Without blocks every read starts at the first byte, so that waiting for this one costs nothing.
        let is_near = !by_blocks || range.start <= self.to + WINDOW;
        if self.end.is_some() || range.start < self.from || !is_near {
            return None;
        }
        Some(self.add_reader(range))
    }

    /// Adds a reader of `range`, whose first byte is kept or still to come.
    pub(super) fn add_reader(&mut self, range: ByteRange) -> ReaderId {
        let id = ReaderId(self.next_reader);
        self.next_reader += 1;
        self.readers.insert(id, Place { at: range.start, end: range.end });
        id
    }

    /// Removes a reader.
    pub(super) fn remove_reader(&mut self, id: ReaderId) {
        self.readers.remove(&id);
    }

    /// Takes the next bytes of `range`, of the attempt that the reader knows. Those before `sendable` may be sent at once.
    pub(super) fn take(
        &mut self,
        id: ReaderId,
        attempt: u64,
        range: ByteRange,
        sendable: u64,
    ) -> Result<Piece, ReadError> {
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

    /// Ends the read if no reader is left. Returns whether that is so.
    pub(super) fn end_if_abandoned(&mut self) -> bool {
        if self.readers.is_empty() {
            self.end.get_or_insert(Err(ReadError::Closing));
        }
        self.readers.is_empty()
    }

    /// Adds the next bytes.
    pub(super) fn add(&mut self, bytes: Bytes) {
        let at = self.to;
        self.to += bytes.len() as u64;
        self.window.push_back((at, bytes));
    }

    /// Begins again at byte `start` with another source, unless bytes were sent. Blocks are verified, and stay valid.
    pub(super) fn restart(&mut self, start: u64, by_blocks: bool) -> bool {
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
    pub(super) fn next_step(&mut self, by_blocks: bool, is_impatient: bool) -> Step {
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

#[cfg(test)]
mod tests;
