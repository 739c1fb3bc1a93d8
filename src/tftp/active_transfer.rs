//! An active transfer: the state machine with the bytes, the route and the transfer record that belong to it. It knows
//! neither sockets nor the other transfers of its port.

use std::net::SocketAddr;
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use metrics::Counter;

use super::batch::{Route, SendBatch};
use super::block_buffer::BlockBuffer;
use super::options::Negotiated;
use super::packet::{self, HEADER};
use super::sessions::Session;
use super::timer_queue::{Timer, TimerQueue};
use super::transfer::{EndReason, ReadTransfer, Transmit, wire_number};
use crate::depot::{ByteStream, Outcome, Transfer as TransferRecord};

/// The longest time that a timer is scheduled ahead. A timer that moves forward leaves a stale entry in the queue until
/// its old time, and a transfer's deadline may be days away.
const MAX_TIMER: Duration = Duration::from_secs(10);

/// A transfer that runs on a port.
pub(super) struct ActiveTransfer {
    session: Session,
    route: Route,
    oack: Bytes,
    /// The size of a full DATA packet, in bytes.
    packet_size: usize,
    transfer: ReadTransfer,
    buffer: BlockBuffer<ByteStream>,
    record: TransferRecord,
    /// Called when the byte stream has more.
    waker: Waker,
    timer: Timer,
    /// When the peer's last ACK arrived; at first, when the transfer began.
    last_heard: Instant,
}

/// How a transfer terminates, normally or prematurely (RFC 1350 6 and 7).
pub(super) struct Termination {
    /// Its outcome.
    pub(super) outcome: Outcome,
    /// Details that the log adds to the outcome.
    pub(super) detail: Option<String>,
    /// The message of the ERROR packet to the peer; `None` if the peer gets none.
    pub(super) peer_message: Option<&'static str>,
}

impl ActiveTransfer {
    /// A transfer of the bytes in `buffer`, ready to run. `waker` is called when the byte stream has more.
    pub(super) fn new(
        session: Session,
        route: Route,
        negotiated: Negotiated,
        transfer: ReadTransfer,
        buffer: BlockBuffer<ByteStream>,
        record: TransferRecord,
        waker: Waker,
    ) -> Self {
        Self {
            session,
            route,
            packet_size: usize::from(negotiated.blksize) + HEADER,
            oack: negotiated.oack.unwrap_or_default().into(),
            transfer,
            buffer,
            record,
            waker,
            timer: Timer::default(),
            last_heard: Instant::now(),
        }
    }

    /// The session id.
    pub(super) fn session_id(&self) -> u64 {
        self.session.id()
    }

    /// The route to the peer.
    pub(super) fn route(&self) -> &Route {
        &self.route
    }

    /// Its record.
    pub(super) fn record(&self) -> &TransferRecord {
        &self.record
    }

    /// Stops the use of UDP segmentation on the route to the peer.
    pub(super) fn disable_segmentation(&mut self) {
        self.route.segmentation = false;
    }

    /// Whether no ACK has arrived for at least `wait`.
    pub(super) fn is_idle(&self, now: Instant, wait: Duration) -> bool {
        now.saturating_duration_since(self.last_heard) >= wait
    }

    /// Handles an ACK.
    pub(super) fn handle_ack(&mut self, block: u16, now: Instant) {
        self.last_heard = now;
        self.transfer.handle_ack(block, now);
    }

    /// Handles an ERROR from the peer.
    pub(super) fn handle_error(&mut self, code: u16) {
        self.transfer.handle_error(code);
    }

    /// Handles the same request again; see [`ReadTransfer::handle_duplicate_request`].
    pub(super) fn handle_duplicate_request(&mut self) -> bool {
        self.transfer.handle_duplicate_request()
    }

    /// The byte stream has more.
    pub(super) fn handle_resume(&mut self) {
        self.buffer.resume();
    }

    /// Handles the timer entry that was due at `due`. Returns whether it was live.
    pub(super) fn handle_timer(&mut self, due: Instant, now: Instant) -> bool {
        let live = self.timer.fire(due);
        if live {
            self.transfer.handle_timeout(now);
        }
        live
    }

    /// Reads what the next window needs, adds the packets that are due to `out`, and schedules the next timer. Fails with
    /// the termination if the transfer is over.
    pub(super) fn advance(
        &mut self,
        now: Instant,
        out: &mut SendBatch,
        timers: &mut TimerQueue<(SocketAddr, u64)>,
    ) -> Result<(), Termination> {
        if let Some(reason) = self.transfer.end_reason() {
            return Err(reason.into());
        }
        self.buffer.release(self.transfer.acked_bytes());
        let filled = self.buffer.fill(self.transfer.window_end(), &mut Context::from_waker(&self.waker));
        filled.map_err(|e| Termination {
            outcome: e.outcome(),
            detail: Some(e.to_string()),
            peer_message: Some(e.public()),
        })?;
        self.transfer.set_available(self.buffer.available(), self.buffer.ended());
        while let Some(transmit) = self.transfer.poll_transmit(now) {
            match transmit {
                Transmit::OptionAck => out.push_single(&self.route, self.oack.clone()),
                Transmit::Blocks { first, last } => {
                    for block in first..=last {
                        let (offset, length) = self.transfer.block_range(block);
                        let payload = self.buffer.slices(offset, length);
                        out.push(&self.route, self.packet_size, packet::data_header(wire_number(block)), payload);
                    }
                }
            }
        }
        self.record.set_sent(self.transfer.payload_sent());
        let due = self.transfer.poll_timeout().min(now + MAX_TIMER);
        timers.schedule(&mut self.timer, due, (self.route.peer, self.session.id()));
        Ok(())
    }

    /// Ends the transfer: records its outcome and counts its retransmitted packets.
    pub(super) fn finish(self, outcome: Outcome, detail: Option<&str>, retransmits: &Counter) {
        retransmits.increment(self.transfer.retransmits());
        self.record.set_sent(self.transfer.payload_sent());
        self.record.finish(outcome, detail);
    }
}

impl From<EndReason> for Termination {
    fn from(reason: EndReason) -> Self {
        let outcome = match reason {
            EndReason::Complete => Outcome::Complete,
            EndReason::Probe => Outcome::Probe,
            EndReason::Aborted => Outcome::Aborted,
            EndReason::Timeout => Outcome::Timeout,
        };
        Self { outcome, detail: None, peer_message: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transfer_state_is_small() {
        // The bound is 64 KiB with what it points at: an OACK, a waker, and the chunks of two windows' bytes.
        assert!(size_of::<ActiveTransfer>() < 2048, "{} bytes", size_of::<ActiveTransfer>());
    }
}
