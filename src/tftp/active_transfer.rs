//! An active transfer: the state machine with the bytes, the socket, the route and the record that belong to it. It knows no
//! other transfers.

use std::io;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use metrics::Counter;

use super::answer_limit::AnswerLimit;
use super::batch::{Route, SendBatch};
use super::block_buffer::BlockBuffer;
use super::options::Negotiated;
use super::packet::{self, HEADER};
use super::record::Record;
use super::send_error;
use super::sessions::{ExistingSession, LimitError, Session};
use super::socket::Socket;
use super::timer_queue::{Timer, TimerQueue};
use super::transfer::{EndReason, ReadTransfer, Transmit, wire_number};
use crate::depot::{ByteStream, Outcome};

/// The longest time that a timer is scheduled ahead. A timer that moves forward leaves a stale entry in the queue until
/// its old time, and a transfer's deadline may be days away.
const MAX_TIMER: Duration = Duration::from_secs(10);

/// Acknowledged blocks after which the socket of a transfer is connected to its peer, which saves the kernel a tenth of its work.
/// From then on the kernel answers other peers (ICMP port unreachable); before, when a second answer to a request may be about,
/// they get ERROR 5.
const CONNECT_AFTER: u64 = 16;

/// Where the packets of a transfer are sent from and to.
pub(super) struct Endpoint {
    /// The socket.
    pub(super) socket: Arc<Socket>,
    /// The index of the listener whose socket it is; `None` if the transfer has a socket of its own.
    pub(super) listener: Option<usize>,
    /// The route to the peer.
    pub(super) route: Route,
}

impl Endpoint {
    /// The largest window that can be sent at once, up to the negotiated one. The socket of a listener has no such bound: it blocks
    /// until there is room.
    pub(super) fn largest_window(&self, negotiated: &Negotiated) -> u16 {
        let window = negotiated.windowsize;
        if window == 1 || self.listener.is_some() {
            return window;
        }
        window.min(self.socket.largest_window(negotiated.blksize))
    }
}

/// A transfer of a worker.
pub(super) struct ActiveTransfer {
    session: Session,
    endpoint: Endpoint,
    oack: Bytes,
    /// The size of a full DATA packet, in bytes.
    packet_size: usize,
    transfer: ReadTransfer,
    buffer: BlockBuffer<ByteStream>,
    record: Record,
    /// Called when the byte stream has more.
    waker: Waker,
    timer: Timer,
    /// Why the last packets were not sent, if they were not.
    send_error: Option<io::Error>,
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
        endpoint: Endpoint,
        negotiated: Negotiated,
        transfer: ReadTransfer,
        buffer: BlockBuffer<ByteStream>,
        record: Record,
        waker: Waker,
    ) -> Self {
        Self {
            session,
            endpoint,
            packet_size: usize::from(negotiated.blksize) + HEADER,
            oack: negotiated.oack.unwrap_or_default().into(),
            transfer,
            buffer,
            record,
            waker,
            timer: Timer::default(),
            send_error: None,
            last_heard: Instant::now(),
        }
    }

    /// The session id.
    pub(super) fn session_id(&self) -> u64 {
        self.session.id()
    }

    /// The route to the peer.
    pub(super) fn route(&self) -> &Route {
        &self.endpoint.route
    }

    /// The socket.
    pub(super) fn socket(&self) -> &Arc<Socket> {
        &self.endpoint.socket
    }

    /// The index of the listener whose socket it is; `None` if the transfer has a socket of its own.
    pub(super) fn listener(&self) -> Option<usize> {
        self.endpoint.listener
    }

    /// The peer has answered: begins the record, and takes a slot of the transfers, unless this one is complete with that answer.
    /// Returns the peer's earlier transfer, which this one replaces.
    pub(super) fn validate(&mut self) -> Result<Option<ExistingSession>, LimitError> {
        self.record.begin();
        if self.transfer.end_reason().is_some() { Ok(None) } else { self.session.validate() }
    }

    /// Whether the peer has acknowledged anything.
    pub(super) fn is_validated(&self) -> bool {
        self.transfer.is_validated()
    }

    /// Reports that the stored bytes cannot be read.
    pub(super) fn report_unreadable(&mut self) {
        self.record.report_unreadable();
    }

    /// Stops the use of UDP segmentation on the route to the peer.
    pub(super) fn disable_segmentation(&mut self) {
        self.endpoint.route.segmentation = false;
    }

    /// Whether no ACK has arrived for at least `wait`.
    pub(super) fn is_idle(&self, now: Instant, wait: Duration) -> bool {
        now.saturating_duration_since(self.last_heard) >= wait
    }

    /// Handles an ACK. Returns whether it is the first, which validates the peer.
    pub(super) fn handle_ack(&mut self, block: u16, now: Instant) -> bool {
        self.last_heard = now;
        let validated = self.transfer.is_validated();
        self.transfer.handle_ack(block, now);
        // A socket that is bound to the wildcard would receive at another address once it is connected.
        let is_bound = self.endpoint.listener.is_none() && self.endpoint.route.source.is_none();
        if is_bound && self.transfer.acked_blocks() >= CONNECT_AFTER {
            self.endpoint.socket.connect(self.endpoint.route.peer);
        }
        !validated && self.transfer.is_validated()
    }

    /// Handles an ERROR from the peer, which proves that it knows the port, unless that is the listener's.
    pub(super) fn handle_error(&mut self, code: u16) {
        if self.listener().is_none() {
            self.record.begin();
        }
        self.transfer.handle_error(code);
    }

    /// Handles the report that a packet did not reach the peer.
    pub(super) fn handle_undelivered(&mut self, port_closed: bool) {
        self.transfer.handle_undelivered(port_closed);
    }

    /// Handles the failure to send the last packets, which are lost.
    pub(super) fn handle_unsent(&mut self, error: io::Error) {
        self.transfer.handle_unsent();
        self.send_error = Some(error);
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
        timers: &mut TimerQueue<u64>,
        answers: &AnswerLimit,
    ) -> Result<(), Termination> {
        if let Some(reason) = self.transfer.end_reason() {
            let mut termination = Termination::from(reason);
            if reason == EndReason::Unsent {
                termination.detail = self.send_error.as_ref().map(send_error::describe);
            }
            return Err(termination);
        }
        self.buffer.release(self.transfer.acked_bytes());
        let filled = self.buffer.fill(self.transfer.window_end(), &mut Context::from_waker(&self.waker));
        filled.map_err(|e| Termination {
            outcome: e.outcome(),
            detail: Some(e.to_string()),
            peer_message: Some(e.public()),
        })?;
        self.transfer.set_available(self.buffer.available(), self.buffer.ended());
        let route = &self.endpoint.route;
        while let Some(transmit) = self.transfer.poll_transmit(now) {
            // Beyond the limit the packet is lost, as if by the network.
            if !self.transfer.is_validated() && !answers.allow(route.peer.ip(), self.first_packet(), now) {
                continue;
            }
            match transmit {
                Transmit::OptionAck => out.push_single(route, self.oack.clone()),
                Transmit::Blocks { first, last } => {
                    for block in first..=last {
                        let (offset, length) = self.transfer.block_range(block);
                        let payload = self.buffer.slices(offset, length);
                        out.push(route, self.packet_size, packet::data_header(wire_number(block)), payload);
                    }
                }
            }
        }
        self.record.set_sent(self.transfer.payload_sent());
        let due = self.transfer.poll_timeout().min(now + MAX_TIMER);
        timers.schedule(&mut self.timer, due, self.session.id());
        Ok(())
    }

    /// The size of the packet that answers the request, in bytes.
    fn first_packet(&self) -> usize {
        if self.oack.is_empty() { self.packet_size } else { self.oack.len() }
    }

    /// Ends the transfer: records its outcome and counts its retransmitted packets.
    pub(super) fn finish(self, outcome: Outcome, detail: Option<&str>, retransmits: &Counter) {
        retransmits.increment(self.transfer.retransmits());
        self.record.finish(outcome, self.transfer.payload_sent(), detail);
    }
}

impl From<EndReason> for Termination {
    fn from(reason: EndReason) -> Self {
        let (outcome, detail) = match reason {
            EndReason::Complete => (Outcome::Complete, None),
            EndReason::Probe => (Outcome::Probe, None),
            EndReason::Aborted => (Outcome::Aborted, None),
            EndReason::Timeout | EndReason::Unsent => (Outcome::Timeout, None),
            EndReason::Forged => {
                (Outcome::Refused, Some("blocks were acknowledged before they were sent: forged packets"))
            }
            EndReason::Unreachable => {
                (Outcome::Aborted, Some("the client cannot be reached, or its port is closed (ICMP)"))
            }
        };
        Self { outcome, detail: detail.map(str::to_owned), peer_message: None }
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
