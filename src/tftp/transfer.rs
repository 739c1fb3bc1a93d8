//! One read transfer as a sans-IO state machine: block numbers, windows, retransmits, timeouts. It knows neither sockets
//! nor the bytes of the file, only how many of them are available.
//!
//! Blocks are counted from 1 in 64 bits. The wire carries them modulo 65,536, so 65,535 is followed by 0.

use std::time::{Duration, Instant};

use super::options::Negotiated;
use super::rtt::RttEstimator;

/// The most packets for a peer whose address is not validated, since a forged address would receive them: one, and two repeats
/// of it.
const MAX_UNVALIDATED_PACKETS: u32 = 3;
/// Full windows for a peer that has acknowledged the OACK but no block. That ACK is the same for all transfers, so a
/// sender of forged requests can forge it too. Retransmits after these windows are one block at a time.
const MAX_UNVALIDATED_WINDOWS: u32 = 2;
/// ACKs of blocks that the peer cannot have received, after which the transfer ends. No network makes them, but the ACKs of an
/// earlier transfer of the same port may be late.
const MAX_IMPOSSIBLE_ACKS: u32 = 3;
/// The time that every transfer has. It has another second for each [`MIN_THROUGHPUT`] bytes.
const MIN_DEADLINE: Duration = Duration::from_mins(5);
/// Bytes per second below which a transfer is a waste of its session: a tenth of what 512-byte blocks reach at a round
/// trip of 50 ms.
const MIN_THROUGHPUT: u64 = 1024;
/// The code of an ERROR from a peer that does not know the transfer (RFC 1350 5).
const UNKNOWN_TRANSFER: u16 = 5;

/// When unacknowledged packets are sent again, and for how long.
#[derive(Debug, Clone, Copy)]
pub(super) struct RetransmitPolicy {
    /// The wait before the first retransmit while the round trip time is not known.
    pub(super) timeout: Duration,
    /// Retransmits without an answer, each after at least `timeout`, after which the transfer ends.
    pub(super) retries: u32,
}

/// The packets to send.
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

/// Why a transfer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EndReason {
    /// All blocks are acknowledged, or the last window was sent and the peer did not answer it.
    Complete,
    /// The peer requested the size and sent an ERROR after the OACK.
    Probe,
    /// The peer sent an ERROR.
    Aborted,
    /// The peer stopped answering, or was too slow.
    Timeout,
    /// The last packets could not be sent, for longer than the peer may take to answer.
    Unsent,
    /// The peer acknowledged blocks that it cannot have received: its packets are forged.
    Forged,
    /// The peer's port is closed, or there is no way to the peer.
    Unreachable,
}

/// A read transfer.
#[derive(Debug)]
pub(super) struct ReadTransfer {
    blksize: u64,
    window: u64,
    sends_size: bool,
    policy: RetransmitPolicy,
    /// The timeout that the peer requested. It counts once the peer is validated: else a forged request would keep its slot
    /// for minutes.
    requested_timeout: Option<Duration>,
    rtt: RttEstimator,

    phase: Phase,
    /// The OACK must be sent.
    oack_due: bool,
    /// Bursts sent in this phase; these are packets until the first answer.
    unvalidated: u32,
    /// All blocks up to this one are acknowledged.
    acked: u64,
    /// The next block to send.
    next: u64,
    /// The highest block sent so far.
    highest: u64,
    /// The highest block sent when the transfer last went back to retransmit. A repeated ACK of it may answer a
    /// retransmitted block.
    recovery_point: u64,
    /// Available bytes of the file, counted from its start.
    available: u64,
    /// The last block, once the size of the file is known.
    last: Option<u64>,

    /// When unacknowledged packets count as lost; `None` if all are acknowledged.
    retransmit_at: Option<Instant>,
    /// When the last packets were sent.
    last_burst: Option<Instant>,
    /// The highest block sent before the last packets.
    before_burst: u64,
    /// Some of the last packets were not sent.
    unsent: bool,
    /// ACKs of blocks that the peer cannot have received.
    impossible_acks: u32,
    /// The block whose ACK gives the next round trip sample, and when it was sent for the first time.
    timed_block: Option<(u64, Instant)>,
    /// Timeouts of full length without progress.
    timeouts: u32,
    deadline: Instant,
    retransmits: u64,
    end_reason: Option<EndReason>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Waits for the ACK of the OACK.
    OackSent,
    /// Waits for the ACK of the first block, sent without an OACK.
    FirstBlockSent,
    /// The OACK is acknowledged, but no block is.
    OackAcked,
    /// The peer has acknowledged a block, so it receives packets at its address.
    Validated,
}

impl ReadTransfer {
    /// A transfer of about `size` bytes that begins `now`.
    pub(super) fn new(negotiated: &Negotiated, size: u64, policy: RetransmitPolicy, now: Instant) -> Self {
        let has_oack = negotiated.oack.is_some();
        Self {
            blksize: u64::from(negotiated.blksize),
            window: u64::from(negotiated.windowsize),
            sends_size: negotiated.tsize,
            policy,
            requested_timeout: negotiated.timeout,
            rtt: RttEstimator::new(policy.timeout),
            phase: if has_oack { Phase::OackSent } else { Phase::FirstBlockSent },
            oack_due: has_oack,
            unvalidated: 0,
            acked: 0,
            next: 1,
            highest: 0,
            recovery_point: 0,
            available: 0,
            last: None,
            retransmit_at: None,
            last_burst: None,
            before_burst: 0,
            unsent: false,
            impossible_acks: 0,
            timed_block: None,
            timeouts: 0,
            deadline: now + MIN_DEADLINE + Duration::from_secs(size / MIN_THROUGHPUT),
            retransmits: 0,
            end_reason: None,
        }
    }

    /// Sets how many bytes of the file are available, counted from its start, and whether that is the whole file.
    pub(super) fn set_available(&mut self, available: u64, ended: bool) {
        self.available = available;
        if ended {
            // A file whose size is a multiple of the block size ends with an empty block.
            self.last = Some(available / self.blksize + 1);
        }
    }

    /// The end of the current window, in bytes from the start of the file.
    pub(super) fn window_end(&self) -> u64 {
        (self.acked + self.window) * self.blksize
    }

    /// Acknowledged blocks.
    pub(super) fn acked_blocks(&self) -> u64 {
        self.acked
    }

    /// Acknowledged bytes, which are not sent again.
    pub(super) fn acked_bytes(&self) -> u64 {
        self.acked * self.blksize
    }

    /// The offset and length of block `number`, in bytes.
    pub(super) fn block_range(&self, number: u64) -> (u64, usize) {
        let offset = (number - 1) * self.blksize;
        let length = self.blksize.min(self.available.saturating_sub(offset));
        (offset, usize::try_from(length).unwrap_or_default())
    }

    /// The packets to send now, if any. Blocks are sent by full windows only, because the client acknowledges the end of
    /// a window: nothing is sent until all bytes of the window are available.
    pub(super) fn poll_transmit(&mut self, now: Instant) -> Option<Transmit> {
        if self.end_reason.is_some() {
            return None;
        }
        if self.phase == Phase::OackSent {
            if !std::mem::take(&mut self.oack_due) {
                return None;
            }
            if self.unvalidated > 0 {
                self.retransmits += 1;
            }
            self.unvalidated += 1;
            self.timed_block = (self.unvalidated == 1).then_some((0, now));
            self.record_burst(now);
            return Some(Transmit::OptionAck);
        }
        let end = self.acked + if self.is_limited_to_one_block() { 1 } else { self.window };
        let last = self.last.map_or(end, |last| last.min(end));
        let available = self.last.is_some_and(|known| known <= last) || last * self.blksize <= self.available;
        if self.next > last || !available {
            return None;
        }
        let first = std::mem::replace(&mut self.next, last + 1);
        if self.phase != Phase::Validated {
            self.unvalidated += 1;
        }
        self.retransmits += (self.highest + 1).min(last + 1).saturating_sub(first);
        if last > self.highest {
            // The first block that was never sent before: its ACK answers no earlier packet.
            self.timed_block = Some((self.highest + 1, now));
        }
        if self.last_burst != Some(now) {
            self.before_burst = self.highest;
        }
        self.highest = self.highest.max(last);
        self.record_burst(now);
        Some(Transmit::Blocks { first, last })
    }

    /// Handles an ACK.
    pub(super) fn handle_ack(&mut self, number: u16, now: Instant) {
        if self.end_reason.is_some() {
            return;
        }
        if self.phase == Phase::OackSent {
            if number == 0 && self.unvalidated > 0 {
                self.phase = Phase::OackAcked;
                self.unvalidated = 0;
                self.accept_requested_timeout();
                self.record_progress(now);
            } else {
                self.record_impossible_ack();
            }
            return;
        }
        // The distance from the last acknowledged block, modulo 65,536.
        let ahead = u64::from(number.wrapping_sub(wire_number(self.acked)));
        let block = self.acked + ahead;
        // Packets that were sent at this same instant are not even on their way.
        let deliverable = if self.last_burst == Some(now) { self.before_burst } else { self.highest };
        if block > deliverable {
            // In the other half of the numbers it is an old one.
            if ahead <= u64::from(u16::MAX / 2) {
                self.record_impossible_ack();
            }
            return;
        }
        if ahead > 0 {
            if self.phase == Phase::FirstBlockSent {
                self.accept_requested_timeout();
            }
            self.phase = Phase::Validated;
            self.acked = block;
            self.next = self.next.max(block + 1);
            self.record_progress(now);
            if self.last == Some(block) {
                self.end_reason = Some(EndReason::Complete);
                return;
            }
        } else if self.window == 1 || (block > 0 && block == self.recovery_point) || self.is_limited_to_one_block() {
            // A repeated ACK that a retransmitted block caused. To answer it would repeat all blocks from here on
            // (sorcerer's apprentice syndrome, RFC 1123 4.2.3.1). A peer that is not validated gets retransmits by
            // timeout only.
            return;
        }
        // Blocks after the acknowledged one were sent, so the client misses the next one (RFC 7440 4), unless it sent
        // this ACK before they can have reached it.
        let answers_burst =
            self.last_burst.is_some_and(|at| now.saturating_duration_since(at) >= self.rtt.min_answer_time());
        if block < self.highest && answers_burst && self.next > block + 1 {
            self.go_back();
        }
    }

    /// Handles the same request again: the peer may not have received the answer. Returns false if it has, or if the
    /// transfer is over; the request then begins a new transfer.
    pub(super) fn handle_duplicate_request(&mut self) -> bool {
        if self.is_validated() || self.end_reason.is_some() {
            return false;
        }
        if self.unvalidated < MAX_UNVALIDATED_PACKETS {
            self.go_back();
        }
        true
    }

    /// Handles an ERROR.
    pub(super) fn handle_error(&mut self, code: u16) {
        let reason = match self.phase {
            Phase::OackSent if self.sends_size => EndReason::Probe,
            // The client closed its port after the last block.
            _ if code == UNKNOWN_TRANSFER && self.last_block_sent() => EndReason::Complete,
            _ => EndReason::Aborted,
        };
        self.end_reason.get_or_insert(reason);
    }

    /// Handles the report that a packet did not reach the peer. A router's report ends the transfer only if the peer is not
    /// validated: a route may come back.
    pub(super) fn handle_undelivered(&mut self, port_closed: bool) {
        if port_closed && self.last_block_sent() {
            // The client closed its port after the last block.
            self.end_reason.get_or_insert(EndReason::Complete);
        } else if port_closed || !self.is_validated() {
            self.end_reason.get_or_insert(EndReason::Unreachable);
        }
    }

    /// Handles the failure to send some of the last packets. They are lost: the error may pass.
    pub(super) fn handle_unsent(&mut self) {
        self.unsent = true;
    }

    /// Handles the passage of time: retransmits unacknowledged packets, or ends the transfer.
    pub(super) fn handle_timeout(&mut self, now: Instant) {
        if self.end_reason.is_some() {
            return;
        }
        if now >= self.deadline {
            self.end_reason = Some(EndReason::Timeout);
            return;
        }
        if self.retransmit_at.is_none_or(|at| now < at) {
            return;
        }
        self.retransmit_at = None;
        // A short round trip makes short timeouts, which do not count.
        if self.rtt.timeout() >= self.policy.timeout {
            self.timeouts += 1;
        }
        let exhausted = !self.is_validated() && self.unvalidated >= MAX_UNVALIDATED_PACKETS;
        if exhausted || self.timeouts > self.policy.retries {
            self.end_reason = Some(match () {
                () if self.unsent => EndReason::Unsent,
                () if self.last_block_sent() => EndReason::Complete,
                () => EndReason::Timeout,
            });
            return;
        }
        self.rtt.back_off();
        self.go_back();
    }

    /// When [`ReadTransfer::handle_timeout`] is due.
    pub(super) fn poll_timeout(&self) -> Instant {
        self.retransmit_at.map_or(self.deadline, |at| at.min(self.deadline))
    }

    /// Why the transfer ended; `None` while it runs.
    pub(super) fn end_reason(&self) -> Option<EndReason> {
        self.end_reason
    }

    /// Payload bytes sent, without retransmits.
    pub(super) fn payload_sent(&self) -> u64 {
        (self.highest * self.blksize).min(self.available)
    }

    /// Retransmitted packets.
    pub(super) fn retransmits(&self) -> u64 {
        self.retransmits
    }

    /// Whether the peer has acknowledged anything, and so receives packets at its address.
    pub(super) fn is_validated(&self) -> bool {
        matches!(self.phase, Phase::OackAcked | Phase::Validated)
    }

    /// Whether the peer has got all the full windows that it gets before it acknowledges a block.
    fn is_limited_to_one_block(&self) -> bool {
        self.phase == Phase::OackAcked && self.unvalidated >= MAX_UNVALIDATED_WINDOWS
    }

    /// Whether a peer that has answered may have the whole file: the last block was sent.
    fn last_block_sent(&self) -> bool {
        self.is_validated() && !self.unsent && self.last.is_some_and(|last| last == self.highest)
    }

    fn accept_requested_timeout(&mut self) {
        if let Some(timeout) = self.requested_timeout {
            self.policy.timeout = timeout;
            self.rtt = RttEstimator::new(timeout);
        }
    }

    fn record_impossible_ack(&mut self) {
        self.impossible_acks += 1;
        if self.impossible_acks >= MAX_IMPOSSIBLE_ACKS {
            self.end_reason = Some(EndReason::Forged);
        }
    }

    fn record_burst(&mut self, now: Instant) {
        self.last_burst = Some(now);
        self.unsent = false;
        self.retransmit_at = Some(now + self.rtt.timeout());
    }

    fn record_progress(&mut self, now: Instant) {
        self.timeouts = 0;
        self.rtt.handle_answer();
        if let Some((block, at)) = self.timed_block
            && block <= self.acked
        {
            self.timed_block = None;
            self.rtt.add_sample(now.saturating_duration_since(at));
        }
        self.retransmit_at = (self.acked < self.highest).then(|| now + self.rtt.timeout());
    }

    /// Goes back to the first unacknowledged packet, which is sent next.
    fn go_back(&mut self) {
        self.timed_block = None;
        self.oack_due = self.phase == Phase::OackSent;
        self.recovery_point = self.highest;
        self.next = self.acked + 1;
    }
}

/// The number of a block on the wire.
#[expect(clippy::cast_possible_truncation, reason = "the wire carries the block number modulo 65,536")]
pub(super) fn wire_number(block: u64) -> u16 {
    block as u16
}

#[cfg(test)]
mod tests;
