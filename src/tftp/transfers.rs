//! The active transfers of one worker. Received packets go to their state machines, and the packets that they send leave in
//! batches, one for each socket. It does not know which socket is readable.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use foldhash::fast::FixedState;
use foldhash::quality::RandomState;
use metrics::{Counter, counter};
use tracing::debug;

use super::active_transfer::{ActiveTransfer, Termination};
use super::answer_limit::AnswerLimit;
use super::batch::{self, RecvBatch, SendBatch, SendFailure};
use super::error_five::ErrorFive;
use super::messages::{WorkerMessage, WorkerQueue};
use super::packet::{ErrorCode, Packet};
use super::sessions::{ExistingSession, SessionState};
use super::socket::Socket;
use super::timer_queue::TimerQueue;
use crate::depot::Outcome;

/// Datagrams that one transfer handles per turn, so that none keeps the others waiting. A client in lockstep has one in flight.
const DATAGRAMS: usize = 8;

/// All transfers of a worker.
pub(super) struct Transfers {
    /// By session id. The ids are generated here, so the hash needs no seed.
    active: HashMap<u64, ActiveTransfer, FixedState>,
    /// The transfers that share the socket of a listener, by its index and their peer.
    shared: HashMap<(usize, SocketAddr), u64, RandomState>,
    timers: TimerQueue<u64>,
    pending: PendingSends,
    /// The queues of all workers.
    workers: Arc<[Arc<WorkerQueue>]>,
    answers: Arc<AnswerLimit>,
    error_five: Arc<ErrorFive>,
    retransmits: Counter,
}

/// Packets that wait for the next system call, all from one socket.
struct PendingSends {
    batch: SendBatch,
    socket: Option<Arc<Socket>>,
    /// The index of the listener whose socket it is.
    listener: Option<usize>,
    /// The transfer that sends from that socket, unless the socket is a listener's.
    session: u64,
    /// Failures of the last flush; empty between flushes.
    failures: Vec<(SocketAddr, SendFailure)>,
}

impl Transfers {
    /// No transfers. `workers` are the queues of all workers.
    pub(super) fn new(workers: Arc<[Arc<WorkerQueue>]>, answers: Arc<AnswerLimit>, error_five: Arc<ErrorFive>) -> Self {
        Self {
            active: HashMap::default(),
            shared: HashMap::default(),
            timers: TimerQueue::new(),
            pending: PendingSends {
                batch: SendBatch::new(),
                socket: None,
                listener: None,
                session: 0,
                failures: Vec::new(),
            },
            workers,
            answers,
            error_five,
            retransmits: counter!("bootdepot_tftp_retransmits_total"),
        }
    }

    /// When [`Transfers::fire_timers`] is due next; `None` if no timer is scheduled.
    pub(super) fn next_timer(&self) -> Option<Instant> {
        self.timers.next_due()
    }

    /// The transfer to `peer` that shares the socket of the listener with this index.
    pub(super) fn on_listener(&self, listener: usize, peer: SocketAddr) -> Option<u64> {
        self.shared.get(&(listener, peer)).copied()
    }

    /// Adds a transfer and sends its first packets.
    pub(super) fn start(&mut self, transfer: ActiveTransfer, now: Instant) {
        let session = transfer.session_id();
        if let Some(listener) = transfer.listener() {
            let older = self.shared.insert((listener, transfer.route().peer), session);
            if let Some(older) = older.and_then(|older| self.active.remove(&older)) {
                older.finish(Outcome::Aborted, Some("the client sent its request again"), &self.retransmits);
            }
        }
        self.active.insert(session, transfer);
        self.advance(session, now);
    }

    /// Ends a transfer that cannot start.
    pub(super) fn refuse(&mut self, transfer: ActiveTransfer, error: &io::Error) {
        let message = "the server has no port for the transfer; try again later";
        self.send_error(&transfer, message);
        transfer.finish(Outcome::Refused, Some(&format!("no port for the transfer: {error}")), &self.retransmits);
    }

    /// Receives on the own socket of a transfer. Returns whether more may wait.
    pub(super) fn receive(&mut self, session: u64, received: &mut RecvBatch) -> bool {
        let Some(transfer) = self.active.get(&session).filter(|transfer| transfer.listener().is_none()) else {
            return false;
        };
        let (socket, peer) = (Arc::clone(transfer.socket()), transfer.route().peer);
        let count = received.receive_up_to(DATAGRAMS, socket.udp()).unwrap_or_else(|error| {
            debug!(client = %peer, %error, "TFTP receive failed");
            0
        });
        // One instant for all: none of them can answer what another makes the transfer send.
        let now = Instant::now();
        for datagram in received.iter() {
            let packet = Packet::parse(datagram.bytes);
            if datagram.route.peer == peer {
                self.handle_packet(session, &packet, now);
            } else {
                self.error_five.answer(&socket, datagram.route.peer, &packet, now);
            }
        }
        count == DATAGRAMS
    }

    /// Handles the errors that were reported about packets of a transfer with a socket of its own.
    pub(super) fn receive_errors(&mut self, session: u64, now: Instant) {
        let Some(socket) = self.active.get(&session).map(|transfer| Arc::clone(transfer.socket())) else { return };
        while let Ok(Some(error)) = batch::next_error(socket.udp()) {
            self.handle_undelivered(session, error.peer, error.port_closed, now);
        }
    }

    /// Handles the report that a packet of a transfer did not reach `peer`.
    pub(super) fn handle_undelivered(&mut self, session: u64, peer: SocketAddr, port_closed: bool, now: Instant) {
        if let Some(transfer) = self.active.get_mut(&session)
            && transfer.route().peer == peer
        {
            debug!(client = %peer, port_closed, "TFTP packet not delivered");
            transfer.handle_undelivered(port_closed);
            self.advance(session, now);
        }
    }

    /// Handles a packet from the peer of a transfer. Anything but an ACK and an ERROR is ignored.
    pub(super) fn handle_packet<E>(&mut self, session: u64, packet: &Result<Packet<'_>, E>, now: Instant) {
        let Some(transfer) = self.active.get_mut(&session) else { return };
        match packet {
            Ok(Packet::Ack { block }) => {
                if transfer.handle_ack(*block, now) && !self.validate(session) {
                    return;
                }
            }
            Ok(Packet::Error { code, message }) => {
                let error = String::from_utf8_lossy(message);
                debug!(client = %transfer.route().peer, code, ?error, "TFTP error received");
                transfer.handle_error(*code);
            }
            _ => return,
        }
        self.advance(session, now);
    }

    /// Gives a transfer whose peer has answered one of the slots of validated transfers. Returns false if it has ended, because the
    /// limit on transfers is reached.
    fn validate(&mut self, session: u64) -> bool {
        let Some(transfer) = self.active.get_mut(&session) else { return false };
        match transfer.validate() {
            Ok(older) => {
                if let Some(ExistingSession { id, state: SessionState::Running(worker), .. }) = older {
                    self.workers[worker].push(WorkerMessage::Replace(id));
                }
                true
            }
            Err(limit) => {
                let detail = Some(limit.to_string());
                self.end(
                    session,
                    &Termination { outcome: Outcome::Refused, detail, peer_message: Some(limit.public()) },
                );
                false
            }
        }
    }

    /// Handles the same request again. Returns true if it got an answer, or needs none; false if it begins a new transfer.
    pub(super) fn handle_repeat(&mut self, session: u64, idle_after: Duration, now: Instant) -> bool {
        let Some(transfer) = self.active.get_mut(&session) else { return false };
        if transfer.handle_duplicate_request() {
            self.advance(session, now);
            return true;
        }
        // On a shared socket a late copy of the request would end the transfer that the request began.
        transfer.listener().is_some() && !transfer.is_idle(now, idle_after)
    }

    /// Ends a transfer whose peer sent another request.
    pub(super) fn replace(&mut self, session: u64) {
        let detail = Some("the client sent another request".to_owned());
        self.end(session, &Termination { outcome: Outcome::Aborted, detail, peer_message: None });
    }

    /// Ends a transfer that lost its slot, without a record.
    pub(super) fn evict(&mut self, session: u64) {
        self.remove(session);
    }

    /// The byte stream of a transfer has more.
    pub(super) fn resume(&mut self, session: u64, now: Instant) {
        if let Some(transfer) = self.active.get_mut(&session) {
            transfer.handle_resume();
            self.advance(session, now);
        }
    }

    /// Fires the timers that are due.
    pub(super) fn fire_timers(&mut self, now: Instant) {
        while let Some((due, session)) = self.timers.pop_due(now) {
            if self.active.get_mut(&session).is_some_and(|transfer| transfer.handle_timer(due, now)) {
                self.advance(session, now);
            }
        }
    }

    /// Adds the packets that a transfer sends now to the batch, or ends it.
    fn advance(&mut self, session: u64, now: Instant) {
        let Some(transfer) = self.active.get(&session) else { return };
        if !self.pending.is_selected(transfer.socket()) {
            let (socket, listener) = (Arc::clone(transfer.socket()), transfer.listener());
            self.flush();
            self.pending.select(socket, listener, session);
        }
        let Some(transfer) = self.active.get_mut(&session) else { return };
        match transfer.advance(now, &mut self.pending.batch, &mut self.timers, &self.answers) {
            Err(termination) => self.end(session, &termination),
            Ok(()) if self.pending.batch.is_full() => self.flush(),
            Ok(()) => {}
        }
    }

    fn end(&mut self, session: u64, termination: &Termination) {
        let Some(transfer) = self.remove(session) else { return };
        if let Some(message) = termination.peer_message {
            self.send_error(&transfer, message);
        }
        transfer.finish(termination.outcome, termination.detail.as_deref(), &self.retransmits);
    }

    /// Sends an ERROR, to a peer that is not validated within the limit. The packet has a code and a final zero.
    fn send_error(&self, transfer: &ActiveTransfer, message: &str) {
        let peer = transfer.route().peer.ip();
        if transfer.is_validated() || self.answers.allow(peer, message.len() + 5, Instant::now()) {
            transfer.socket().send_error(transfer.route(), ErrorCode::Undefined, message);
        }
    }

    fn remove(&mut self, session: u64) -> Option<ActiveTransfer> {
        let transfer = self.active.remove(&session)?;
        if let Some(listener) = transfer.listener() {
            let peer = transfer.route().peer;
            self.shared.remove(&(listener, peer));
            self.error_five.expect_late_packets(peer);
        }
        Some(transfer)
    }

    /// Sends the batch.
    pub(super) fn flush(&mut self) {
        let Some(socket) = self.pending.socket.take() else { return };
        let PendingSends { batch, failures, .. } = &mut self.pending;
        let on_failure = |peer, failure| failures.push((peer, failure));
        if socket.is_connected() {
            batch.flush_connected(socket.udp(), on_failure);
        } else {
            batch.flush(socket.udp(), on_failure);
        }
        while let Some((peer, failure)) = self.pending.failures.pop() {
            self.handle_failure(peer, failure);
        }
    }

    fn handle_failure(&mut self, peer: SocketAddr, failure: SendFailure) {
        let found = match self.pending.listener {
            Some(listener) => self.on_listener(listener, peer),
            None => Some(self.pending.session),
        };
        let Some((session, transfer)) = found.and_then(|found| Some((found, self.active.get_mut(&found)?))) else {
            return;
        };
        match failure {
            SendFailure::NoSegmentation => transfer.disable_segmentation(),
            // A page of the mapped blob cannot be read.
            SendFailure::Lost(error) if error.raw_os_error() == Some(libc::EFAULT) => {
                transfer.report_unreadable();
                let detail = Some(format!("a page of the blob cannot be read: {error}"));
                let peer_message = Some("the server cannot read its cache; try again later");
                self.end(session, &Termination { outcome: Outcome::OriginFailed, detail, peer_message });
            }
            // A lost packet, which the retransmit timer handles.
            SendFailure::Lost(error) => {
                debug!(client = %peer, %error, "packet not sent");
                transfer.handle_unsent(error);
            }
        }
    }

    /// Ends all transfers with an ERROR to their peers.
    pub(super) fn shut_down(mut self) {
        let sessions: Vec<u64> = self.active.keys().copied().collect();
        for session in sessions {
            let detail = Some("the server is stopping".to_owned());
            let peer_message = Some("the server is stopping; try again later");
            self.end(session, &Termination { outcome: Outcome::Refused, detail, peer_message });
        }
    }
}

impl PendingSends {
    fn is_selected(&self, socket: &Arc<Socket>) -> bool {
        self.socket.as_ref().is_some_and(|selected| Arc::ptr_eq(selected, socket))
    }

    /// Sends from this socket from now on. The batch must be empty.
    fn select(&mut self, socket: Arc<Socket>, listener: Option<usize>, session: u64) {
        (self.socket, self.listener, self.session) = (Some(socket), listener, session);
    }
}
