//! One read transfer as a pure state machine: block numbers, windows, resends, time. It knows neither sockets nor the
//! file's bytes, only how many of them are here.
//!
//! Blocks are counted from 1 in 64 bits; the wire carries them modulo 65,536, and after 65,535 comes 0.

use std::time::{Duration, Instant};

use super::options::Terms;
use super::rtt::RoundTrip;

/// The most packets that an unverified peer gets: its address may be forged, and what it gets amplifies an attack.
const UNVERIFIED_PACKETS: u32 = 6;
/// Whole windows that a peer gets which has acknowledged the options but no block: that ACK is the same for everyone, so
/// whoever forged the request can forge it too. What is sent again after them is one block at a time.
const UNPROVEN_WINDOWS: u32 = 2;
/// The time any transfer has, and on top of it a second for each [`SLOWEST`] bytes.
const SHORTEST_DEADLINE: Duration = Duration::from_mins(5);
/// Bytes a second below which a transfer only holds a seat: a tenth of 512-byte blocks at 50 ms a round trip.
const SLOWEST: u64 = 1024;
/// The error code of a packet for no transfer the peer knows (RFC 1350 5).
const UNKNOWN_TRANSFER: u16 = 5;

/// How patient a transfer is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// The wait before the first resend while the round trip is not known.
    pub(super) timeout: Duration,
    /// Resends without an answer, each after at least `timeout`, before the peer counts as gone.
    pub(super) retries: u32,
}

/// What is to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Transmit {
    /// The OACK packet.
    OptionAck,
    /// The DATA packets of these blocks, both included.
    Blocks {
        /// The first block.
        first: u64,
        /// The last block.
        last: u64,
    },
}

/// How the peer ended the transfer, or let it end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// All blocks are acknowledged, or all but the last window, which went out before the peer fell silent.
    Complete,
    /// The peer asked for the size and let go.
    Probe,
    /// The peer sent an ERROR.
    Aborted,
    /// The peer fell silent, or was too slow to be a machine that boots.
    Timeout,
}

/// A read transfer.
#[derive(Debug)]
pub(super) struct Transfer {
    blksize: u64,
    window: u64,
    tells_size: bool,
    patience: Patience,
    trip: RoundTrip,

    /// What the peer has answered so far.
    phase: Phase,
    /// The OACK is to be sent.
    owes_oack: bool,
    /// Bursts sent in this phase; packets, while the peer has not answered.
    unverified: u32,
    /// All blocks up to this one are acknowledged.
    acked: u64,
    /// The next block to be sent.
    next: u64,
    /// The highest block that was ever sent.
    highest: u64,
    /// The highest block that was sent when blocks were last sent again: a repeated ACK of it may be the answer to a
    /// repeated block.
    recovered: u64,
    /// Bytes of the file that are here, counted from its start.
    available: u64,
    /// The last block, once the file's end is known.
    last: Option<u64>,

    /// When the unanswered packets count as lost; none while no packet is unanswered.
    resend_at: Option<Instant>,
    /// When the last packets went out.
    burst_at: Option<Instant>,
    /// The block whose ACK measures the round trip, and when it was first sent.
    timed: Option<(u64, Instant)>,
    /// Long waits without progress.
    tries: u32,
    expires: Instant,
    resent: u64,
    ending: Option<Ending>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// The OACK waits for its ACK.
    Agreeing,
    /// The first block, sent without an OACK, waits for its ACK.
    Opening,
    /// The OACK is acknowledged, but no block is.
    Agreed,
    /// The peer has acknowledged a block: it is where it says it is.
    Verified,
}

impl Transfer {
    /// A transfer of about `size` bytes on these terms, that begins `now`.
    pub(super) fn new(terms: &Terms, size: u64, patience: Patience, now: Instant) -> Self {
        let patience = Patience { timeout: terms.timeout.unwrap_or(patience.timeout), ..patience };
        let agreeing = terms.oack.is_some();
        Self {
            blksize: u64::from(terms.blksize),
            window: u64::from(terms.windowsize),
            tells_size: terms.tsize,
            patience,
            trip: RoundTrip::new(patience.timeout),
            phase: if agreeing { Phase::Agreeing } else { Phase::Opening },
            owes_oack: agreeing,
            unverified: 0,
            acked: 0,
            next: 1,
            highest: 0,
            recovered: 0,
            available: 0,
            last: None,
            resend_at: None,
            burst_at: None,
            timed: None,
            tries: 0,
            expires: now + SHORTEST_DEADLINE + Duration::from_secs(size / SLOWEST),
            resent: 0,
            ending: None,
        }
    }

    /// Says how many bytes of the file are here, counted from its start, and whether that is all of it.
    pub(super) fn offer(&mut self, available: u64, ended: bool) {
        self.available = available;
        if ended {
            // A file of an exact multiple ends with an empty block.
            self.last = Some(available / self.blksize + 1);
        }
    }

    /// How many bytes of the file, counted from its start, the current window needs.
    pub(super) fn needed(&self) -> u64 {
        (self.acked + self.window) * self.blksize
    }

    /// The first byte that may have to be sent again.
    pub(super) fn released(&self) -> u64 {
        self.acked * self.blksize
    }

    /// The bytes of block `number`: offset and length.
    pub(super) fn block(&self, number: u64) -> (u64, usize) {
        let offset = (number - 1) * self.blksize;
        let length = self.blksize.min(self.available.saturating_sub(offset));
        (offset, usize::try_from(length).unwrap_or_default())
    }

    /// What is to be sent now, if anything. Blocks go out by whole windows only (the client acknowledges a window's
    /// end), so nothing is sent while the window's bytes are not all here.
    pub(super) fn poll_transmit(&mut self, now: Instant) -> Option<Transmit> {
        if self.ending.is_some() {
            return None;
        }
        if self.phase == Phase::Agreeing {
            if !std::mem::take(&mut self.owes_oack) {
                return None;
            }
            if self.unverified > 0 {
                self.resent += 1;
            }
            self.unverified += 1;
            self.timed = (self.unverified == 1).then_some((0, now));
            self.sent(now);
            return Some(Transmit::OptionAck);
        }
        let end = self.acked + if self.is_unproven() { 1 } else { self.window };
        let last = self.last.map_or(end, |last| last.min(end));
        let here = self.last.is_some_and(|known| known <= last) || last * self.blksize <= self.available;
        if self.next > last || !here {
            return None;
        }
        let first = std::mem::replace(&mut self.next, last + 1);
        if self.phase != Phase::Verified {
            self.unverified += 1;
        }
        self.resent += (self.highest + 1).min(last + 1).saturating_sub(first);
        if last > self.highest {
            // The first that was never sent before: its ACK can answer nothing else.
            self.timed = Some((self.highest + 1, now));
        }
        self.highest = self.highest.max(last);
        self.sent(now);
        Some(Transmit::Blocks { first, last })
    }

    /// Takes an ACK.
    pub(super) fn handle_ack(&mut self, number: u16, now: Instant) {
        if self.ending.is_some() {
            return;
        }
        if self.phase == Phase::Agreeing {
            if number == 0 && self.unverified > 0 {
                self.phase = Phase::Agreed;
                self.unverified = 0;
                self.progress(now);
            }
            return;
        }
        // How far the ACK is ahead of what was acknowledged, on the circle of 65,536 numbers.
        let ahead = u64::from(number.wrapping_sub(wire(self.acked)));
        let block = self.acked + ahead;
        if block > self.highest {
            return;
        }
        if ahead > 0 {
            self.phase = Phase::Verified;
            self.acked = block;
            self.next = self.next.max(block + 1);
            self.progress(now);
            if self.last == Some(block) {
                self.ending = Some(Ending::Complete);
                return;
            }
        } else if self.window == 1 || (block > 0 && block == self.recovered) || self.is_unproven() {
            // Answering what a repeated block brought about would repeat all blocks from here on (the sorcerer's
            // apprentice, RFC 1123 4.2.3.1), and whoever has not proven to be there gets what time brings and no more.
            return;
        }
        // Blocks after the acknowledged one are under way: the client misses the next one (RFC 7440 4), unless this ACK
        // was sent before they can have reached it.
        let answers_burst = self.burst_at.is_some_and(|at| now.saturating_duration_since(at) >= self.trip.too_soon());
        if block < self.highest && answers_burst && self.next > block + 1 {
            self.go_back();
        }
    }

    /// Takes the same request again: the peer has not seen the answer. Returns whether that can be: a verified peer
    /// that asks anew begins anew.
    pub(super) fn handle_repeat(&mut self) -> bool {
        if self.has_answered() || self.ending.is_some() {
            return false;
        }
        if self.unverified < UNVERIFIED_PACKETS {
            self.go_back();
        }
        true
    }

    /// Takes an ERROR.
    pub(super) fn handle_error(&mut self, code: u16) {
        let ending = match self.phase {
            Phase::Agreeing if self.tells_size => Ending::Probe,
            // The client has closed its port behind the last block.
            _ if code == UNKNOWN_TRANSFER && self.last_is_out() => Ending::Complete,
            _ => Ending::Aborted,
        };
        self.ending.get_or_insert(ending);
    }

    /// Lets time pass: resends what stayed unanswered, or gives up.
    pub(super) fn handle_timeout(&mut self, now: Instant) {
        if self.ending.is_some() {
            return;
        }
        if now >= self.expires {
            self.ending = Some(Ending::Timeout);
            return;
        }
        if self.resend_at.is_none_or(|at| now < at) {
            return;
        }
        self.resend_at = None;
        // Resends that follow a short round trip quickly cost no patience.
        if self.trip.wait() >= self.patience.timeout {
            self.tries += 1;
        }
        let spent = !self.has_answered() && self.unverified >= UNVERIFIED_PACKETS;
        if spent || self.tries > self.patience.retries {
            self.ending = Some(if self.last_is_out() { Ending::Complete } else { Ending::Timeout });
            return;
        }
        self.trip.double();
        self.go_back();
    }

    /// When [`Transfer::handle_timeout`] wants to be called.
    pub(super) fn poll_timeout(&self) -> Instant {
        self.resend_at.map_or(self.expires, |at| at.min(self.expires))
    }

    /// How it ended, if it did.
    pub(super) fn ending(&self) -> Option<Ending> {
        self.ending
    }

    /// Payload bytes that went out, repeats not included.
    pub(super) fn payload_sent(&self) -> u64 {
        (self.highest * self.blksize).min(self.available)
    }

    /// Packets that went out again.
    pub(super) fn resent(&self) -> u64 {
        self.resent
    }

    /// Whether the peer has answered at all.
    fn has_answered(&self) -> bool {
        matches!(self.phase, Phase::Agreed | Phase::Verified)
    }

    /// Whether the peer has had all whole windows that it gets unproven.
    fn is_unproven(&self) -> bool {
        self.phase == Phase::Agreed && self.unverified >= UNPROVEN_WINDOWS
    }

    /// Whether a peer that has answered may have all of the transfer: the last block went out.
    fn last_is_out(&self) -> bool {
        self.has_answered() && self.last.is_some_and(|last| last == self.highest)
    }

    fn sent(&mut self, now: Instant) {
        self.burst_at = Some(now);
        self.resend_at = Some(now + self.trip.wait());
    }

    fn progress(&mut self, now: Instant) {
        self.tries = 0;
        self.trip.answered();
        if let Some((block, at)) = self.timed
            && block <= self.acked
        {
            self.timed = None;
            self.trip.measured(now.saturating_duration_since(at));
        }
        self.resend_at = (self.acked < self.highest).then(|| now + self.trip.wait());
    }

    /// Sends again what is not acknowledged.
    fn go_back(&mut self) {
        self.timed = None;
        self.owes_oack = self.phase == Phase::Agreeing;
        self.recovered = self.highest;
        self.next = self.acked + 1;
    }
}

/// A block's number as the wire has it.
#[expect(clippy::cast_possible_truncation, reason = "the wire's numbers are the block's modulo 65,536")]
pub(super) fn wire(block: u64) -> u16 {
    block as u16
}

#[cfg(test)]
mod tests;
