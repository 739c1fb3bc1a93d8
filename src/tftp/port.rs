//! One UDP port and all transfers that share it. Received packets go to the state machines, and the packets that they
//! send leave as one batch.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use foldhash::quality::RandomState;
use metrics::{Counter, counter};
use tracing::{debug, error};

use super::active_transfer::{ActiveTransfer, Termination};
use super::batch::{BATCH, RecvBatch, Route, SendBatch, SendFailure};
use super::dispatcher::Dispatcher;
use super::messages::{PortHandle, PortMessage};
use super::packet::{ErrorCode, Packet};
use super::request::PendingRequest;
use super::timer_queue::TimerQueue;
use crate::depot::Outcome;
use crate::rate_limit::{RateLimit, TokenBucket};

/// Receive calls per turn, so that a socket that is always full does not keep the timers from firing.
const MAX_RECEIVE_CALLS: usize = 8;
/// How many peers of ended transfers are remembered. A late ACK from them gets no ERROR.
const REMEMBERED: usize = 64;
/// ERROR packets to peers without a transfer: enough to inform a lost client, too few for an amplifier.
const ERROR_LIMIT: RateLimit = RateLimit { burst: 50.0, per_second: 50.0 };

/// The use of a port; both in single-port mode.
#[derive(Debug, Clone, Copy)]
pub(super) struct PortRole {
    /// The port accepts requests.
    pub(super) accepts_requests: bool,
    /// Its index among the data ports, if transfers run on it.
    pub(super) data_index: Option<usize>,
}

/// One port.
pub(super) struct Port {
    handle: PortHandle,
    role: PortRole,
    dispatcher: Arc<Dispatcher>,
    transfers: HashMap<SocketAddr, ActiveTransfer, RandomState>,
    timers: TimerQueue<(SocketAddr, u64)>,
    out: SendBatch,
    /// Failures of the last flush; empty between flushes.
    failures: Vec<(SocketAddr, SendFailure)>,
    /// Peers whose transfers ended last.
    ended: VecDeque<SocketAddr>,
    error_limiter: TokenBucket,
    retransmits: Counter,
}

impl Port {
    /// The port of `handle`, without transfers.
    pub(super) fn new(handle: PortHandle, role: PortRole, dispatcher: Arc<Dispatcher>) -> Self {
        Self {
            handle,
            role,
            dispatcher,
            transfers: HashMap::default(),
            timers: TimerQueue::new(),
            out: SendBatch::new(),
            failures: Vec::new(),
            ended: VecDeque::with_capacity(REMEMBERED),
            error_limiter: TokenBucket::new(ERROR_LIMIT, Instant::now()),
            retransmits: counter!("bootdepot_tftp_retransmits_total"),
        }
    }

    /// Whether transfers run on this port.
    pub(super) fn is_data_port(&self) -> bool {
        self.role.data_index.is_some()
    }

    /// When [`Port::fire_timers`] is due next; `None` if no timer is scheduled.
    pub(super) fn next_timer(&self) -> Option<Instant> {
        self.timers.next_due()
    }

    /// Receives datagrams and sends the packets that answer them. Returns whether more may wait.
    pub(super) fn receive(&mut self, received: &mut RecvBatch) -> bool {
        for _ in 0..MAX_RECEIVE_CALLS {
            let count = received.receive(self.handle.socket.udp()).unwrap_or_else(|error| {
                error!(address = %self.handle.socket.address(), %error, "TFTP receive failed");
                0
            });
            let now = Instant::now();
            for datagram in received.iter() {
                self.handle_datagram(datagram.route, datagram.bytes, datagram.truncated, now);
            }
            self.flush();
            if count < BATCH {
                return false;
            }
        }
        true
    }

    fn handle_datagram(&mut self, route: Route, bytes: &[u8], truncated: bool, now: Instant) {
        let packet = Packet::parse(bytes);
        if let Some(transfer) = self.transfers.get_mut(&route.peer) {
            match packet {
                Ok(Packet::Ack { block }) => {
                    transfer.handle_ack(block, now);
                    let advanced = transfer.advance(now, &mut self.out, &mut self.timers);
                    return self.after_advance(route.peer, advanced);
                }
                Ok(Packet::Error { code, message }) => {
                    let error = String::from_utf8_lossy(message);
                    debug!(client = %route.peer, code, ?error, "TFTP error received");
                    transfer.handle_error(code);
                    let advanced = transfer.advance(now, &mut self.out, &mut self.timers);
                    return self.after_advance(route.peer, advanced);
                }
                _ => {}
            }
        }
        match packet {
            Ok(Packet::Data { .. } | Packet::Ack { .. } | Packet::OptionAck { .. }) => {
                self.reject_unknown_transfer(&route, now);
            }
            _ if self.role.accepts_requests => self.dispatcher.handle_packet(route, packet, truncated),
            // An ERROR that answers an ERROR could go back and forth for ever.
            Ok(Packet::Error { .. }) => {}
            _ => self.reject_unknown_transfer(&route, now),
        }
    }

    /// Sends ERROR 5 to a peer without a transfer, unless its transfer ended lately or the limit is reached.
    fn reject_unknown_transfer(&mut self, route: &Route, now: Instant) {
        if !self.ended.contains(&route.peer) && self.error_limiter.take(now) {
            self.handle.socket.send_error(route, ErrorCode::UnknownTransfer, "unknown transfer ID");
        }
    }

    /// Handles a message.
    pub(super) fn handle_message(&mut self, message: PortMessage, now: Instant) {
        match message {
            PortMessage::Start(transfer) => self.start(*transfer, now),
            PortMessage::Repeat(pending) => self.handle_repeat(pending, now),
            PortMessage::Cancel { peer, session } => {
                if self.transfers.get(&peer).is_some_and(|transfer| transfer.session_id() == session) {
                    let detail = Some("the client cancelled it or sent another request".to_owned());
                    self.end(peer, &Termination { outcome: Outcome::Aborted, detail, peer_message: None });
                }
            }
            PortMessage::Resume { peer, session } => self.update(peer, session, now, |transfer| {
                transfer.handle_resume();
                true
            }),
        }
    }

    fn start(&mut self, mut transfer: ActiveTransfer, now: Instant) {
        let peer = transfer.route().peer;
        self.ended.retain(|ended| *ended != peer);
        let advanced = transfer.advance(now, &mut self.out, &mut self.timers);
        if let Some(older) = self.transfers.insert(peer, transfer) {
            older.finish(Outcome::Aborted, Some("the client sent its request again"), &self.retransmits);
        }
        self.after_advance(peer, advanced);
    }

    fn handle_repeat(&mut self, pending: PendingRequest, now: Instant) {
        let peer = pending.route.peer;
        if let Some(transfer) = self.transfers.get_mut(&peer) {
            if transfer.handle_duplicate_request() {
                let advanced = transfer.advance(now, &mut self.out, &mut self.timers);
                return self.after_advance(peer, advanced);
            }
            // In single-port mode a late copy of the request would end the transfer that the request began.
            if self.role.accepts_requests && !transfer.is_idle(now, self.dispatcher.settings.timeout) {
                return;
            }
        }
        self.dispatcher.open(pending, self.role.data_index);
    }

    /// Fires the timers that are due.
    pub(super) fn fire_timers(&mut self, now: Instant) {
        while let Some((due, (peer, session))) = self.timers.pop_due(now) {
            self.update(peer, session, now, |transfer| transfer.handle_timer(due, now));
        }
    }

    /// Applies `change` to the transfer of `peer` if it still has this session id, and advances it if `change` returns
    /// true.
    fn update(
        &mut self,
        peer: SocketAddr,
        session: u64,
        now: Instant,
        change: impl FnOnce(&mut ActiveTransfer) -> bool,
    ) {
        if let Some(transfer) = self.transfers.get_mut(&peer)
            && transfer.session_id() == session
            && change(transfer)
        {
            let advanced = transfer.advance(now, &mut self.out, &mut self.timers);
            self.after_advance(peer, advanced);
        }
    }

    /// Ends a transfer that is over, and sends the batch if it is full.
    fn after_advance(&mut self, peer: SocketAddr, advanced: Result<(), Termination>) {
        match advanced {
            Err(termination) => self.end(peer, &termination),
            Ok(()) if self.out.is_full() => self.flush(),
            Ok(()) => {}
        }
    }

    fn end(&mut self, peer: SocketAddr, termination: &Termination) {
        let Some(transfer) = self.transfers.remove(&peer) else { return };
        if let Some(message) = termination.peer_message {
            self.handle.socket.send_error(transfer.route(), ErrorCode::Undefined, message);
        }
        transfer.finish(termination.outcome, termination.detail.as_deref(), &self.retransmits);
        if self.ended.len() == REMEMBERED {
            self.ended.pop_front();
        }
        self.ended.push_back(peer);
    }

    /// Sends the batch.
    pub(super) fn flush(&mut self) {
        let failures = &mut self.failures;
        self.out.flush(self.handle.socket.udp(), |peer, failure| failures.push((peer, failure)));
        while let Some((peer, failure)) = self.failures.pop() {
            match failure {
                SendFailure::NoSegmentation => {
                    if let Some(transfer) = self.transfers.get_mut(&peer) {
                        transfer.disable_segmentation();
                    }
                }
                // A page of the mapped blob cannot be read.
                SendFailure::Lost(error) if error.raw_os_error() == Some(libc::EFAULT) => {
                    if let Some(transfer) = self.transfers.get(&peer) {
                        self.dispatcher.boot.depot().report_unreadable(transfer.record());
                    }
                    let detail = Some(format!("a page of the blob cannot be read: {error}"));
                    let peer_message = Some("the server cannot read its cache; try again later");
                    self.end(peer, &Termination { outcome: Outcome::OriginFailed, detail, peer_message });
                }
                // A lost packet, which the retransmit timer handles.
                SendFailure::Lost(error) => debug!(client = %peer, %error, "packet not sent"),
            }
        }
    }

    /// Ends all transfers with an ERROR to their peers.
    pub(super) fn shut_down(mut self) {
        let peers: Vec<SocketAddr> = self.transfers.keys().copied().collect();
        for peer in peers {
            let detail = Some("the server is stopping".to_owned());
            let peer_message = Some("the server is stopping; try again later");
            self.end(peer, &Termination { outcome: Outcome::Refused, detail, peer_message });
        }
    }
}
