//! One UDP port: all transfers that share it. What has arrived goes to the state machines, and all their answers are sent
//! as one batch.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use foldhash::quality::RandomState;
use metrics::{Counter, counter};
use tracing::{debug, error};

use super::alarms::Alarms;
use super::batch::{Arrivals, BATCH, Departures, Route, Trouble};
use super::desk::{Asked, Desk};
use super::packet::{ErrorCode, Packet};
use super::running::{Over, Running};
use super::worker::Door;
use crate::depot::Outcome;

/// Receive calls of one turn: the transfers that a full socket keeps busy must not keep the alarms from ringing.
const ROUNDS: usize = 8;
/// Peers whose transfers ended lately, and whose late ACKs are no riddle.
const REMEMBERED: usize = 64;
/// ERROR packets a second to peers without a transfer: enough to tell a lost client, too few to be an amplifier.
const STRANGERS_A_SECOND: u32 = 50;

/// What a port is told.
pub(super) enum Post {
    /// A transfer begins.
    Start(Box<Running>),
    /// A peer made the request of its running transfer again.
    Repeat(Asked),
    /// A peer asked for something else: its transfer is over.
    Leave {
        /// The peer.
        peer: SocketAddr,
        /// The seat of the transfer.
        id: u64,
    },
    /// A transfer's stream has more.
    Wake {
        /// The peer.
        peer: SocketAddr,
        /// The seat of the transfer.
        id: u64,
    },
}

/// What a port is for; both in single-port mode.
#[derive(Debug, Clone, Copy)]
pub(super) struct Role {
    /// It takes requests.
    pub(super) requests: bool,
    /// Transfers run on it: its index among the data ports.
    pub(super) data: Option<usize>,
}

/// One port.
pub(super) struct Port {
    door: Door,
    role: Role,
    desk: Arc<Desk>,
    transfers: HashMap<SocketAddr, Running, RandomState>,
    alarms: Alarms<(SocketAddr, u64)>,
    out: Departures,
    /// Transfers that could not be sent to.
    troubled: Vec<(SocketAddr, Trouble)>,
    ended: VecDeque<SocketAddr>,
    strangers: Strangers,
    retransmits: Counter,
}

impl Port {
    /// `door`'s port.
    pub(super) fn new(door: Door, role: Role, desk: Arc<Desk>) -> Self {
        Self {
            door,
            role,
            desk,
            transfers: HashMap::default(),
            alarms: Alarms::new(),
            out: Departures::new(),
            troubled: Vec::new(),
            ended: VecDeque::with_capacity(REMEMBERED),
            strangers: Strangers::default(),
            retransmits: counter!("bootdepot_tftp_retransmits_total"),
        }
    }

    /// Whether transfers run on it.
    pub(super) fn runs_transfers(&self) -> bool {
        self.role.data.is_some()
    }

    /// When [`Port::ring`] wants to be called, if at all.
    pub(super) fn next_alarm(&self) -> Option<Instant> {
        self.alarms.next()
    }

    /// Takes what has arrived and answers it. Returns whether there may be more.
    pub(super) fn receive(&mut self, arrivals: &mut Arrivals) -> bool {
        for _ in 0..ROUNDS {
            let count = arrivals.receive(self.door.socket.udp()).unwrap_or_else(|error| {
                error!(address = %self.door.socket.address(), %error, "receiving failed");
                0
            });
            let now = Instant::now();
            for arrival in arrivals.iter() {
                self.datagram(arrival.route, arrival.datagram, arrival.cut, now);
            }
            self.flush();
            if count < BATCH {
                return false;
            }
        }
        true
    }

    fn datagram(&mut self, route: Route, datagram: &[u8], cut: bool, now: Instant) {
        let packet = Packet::parse(datagram);
        if let Some(running) = self.transfers.get_mut(&route.peer) {
            match packet {
                Ok(Packet::Ack { block }) => {
                    running.handle_ack(block, now);
                    let advanced = running.advance(now, &mut self.out, &mut self.alarms);
                    return self.advanced(route.peer, advanced);
                }
                Ok(Packet::Error { code, message }) => {
                    let said = String::from_utf8_lossy(message);
                    debug!(peer = %route.peer, code, ?said, "the peer sent an error");
                    running.handle_error(code);
                    let advanced = running.advance(now, &mut self.out, &mut self.alarms);
                    return self.advanced(route.peer, advanced);
                }
                _ => {}
            }
        }
        match packet {
            Ok(Packet::Data { .. } | Packet::Ack { .. } | Packet::OptionAck { .. }) => self.stranger(&route, now),
            _ if self.role.requests => self.desk.take(route, datagram, cut),
            // An answer to an ERROR could go back and forth for ever.
            Ok(Packet::Error { .. }) => {}
            _ => self.stranger(&route, now),
        }
    }

    /// Tells a peer that the transfer it speaks of is none.
    fn stranger(&mut self, route: &Route, now: Instant) {
        if !self.ended.contains(&route.peer) && self.strangers.may_hear(now) {
            self.door.socket.send_error(route, ErrorCode::UnknownTransfer, "no such transfer");
        }
    }

    /// Does what a post says.
    pub(super) fn take(&mut self, post: Post, now: Instant) {
        match post {
            Post::Start(running) => self.start(*running, now),
            Post::Repeat(asked) => self.repeat(asked, now),
            Post::Leave { peer, id } => {
                if self.transfers.get(&peer).is_some_and(|running| running.id() == id) {
                    self.end(peer, &Over::left("the peer asked for something else"));
                }
            }
            Post::Wake { peer, id } => self.act(peer, id, now, |running| {
                running.handle_wake();
                true
            }),
        }
    }

    fn start(&mut self, mut running: Running, now: Instant) {
        let peer = running.route().peer;
        self.ended.retain(|ended| *ended != peer);
        let advanced = running.advance(now, &mut self.out, &mut self.alarms);
        if let Some(older) = self.transfers.insert(peer, running) {
            older.end(Outcome::Aborted, Some("the peer asked anew"), &self.retransmits);
        }
        self.advanced(peer, advanced);
    }

    fn repeat(&mut self, asked: Asked, now: Instant) {
        let peer = asked.route.peer;
        if let Some(running) = self.transfers.get_mut(&peer) {
            if running.handle_repeat() {
                let advanced = running.advance(now, &mut self.out, &mut self.alarms);
                return self.advanced(peer, advanced);
            }
            // With one port for all, a late copy of the request would end the transfer that it began.
            if self.role.requests && !running.is_silent(now, self.desk.settings.timeout) {
                return;
            }
        }
        self.desk.begin(asked, self.role.data);
    }

    /// Lets those transfers act whose time has come.
    pub(super) fn ring(&mut self, now: Instant) {
        while let Some((due, (peer, id))) = self.alarms.pop(now) {
            self.act(peer, id, now, |running| running.handle_alarm(due, now));
        }
    }

    /// Tells the transfer of `peer` something, if it is still the one of seat `id`, and lets it act if that changed it.
    fn act(&mut self, peer: SocketAddr, id: u64, now: Instant, tell: impl FnOnce(&mut Running) -> bool) {
        if let Some(running) = self.transfers.get_mut(&peer)
            && running.id() == id
            && tell(running)
        {
            let advanced = running.advance(now, &mut self.out, &mut self.alarms);
            self.advanced(peer, advanced);
        }
    }

    /// Sends if there is a batch's worth, and ends a transfer that is over.
    fn advanced(&mut self, peer: SocketAddr, advanced: Result<(), Over>) {
        match advanced {
            Err(over) => self.end(peer, &over),
            Ok(()) if self.out.is_full() => self.flush(),
            Ok(()) => {}
        }
    }

    fn end(&mut self, peer: SocketAddr, over: &Over) {
        let Some(running) = self.transfers.remove(&peer) else { return };
        if let Some(message) = over.message {
            self.door.socket.send_error(running.route(), ErrorCode::Undefined, message);
        }
        running.end(over.outcome, over.detail.as_deref(), &self.retransmits);
        if self.ended.len() == REMEMBERED {
            self.ended.pop_front();
        }
        self.ended.push_back(peer);
    }

    /// Sends what is to be sent.
    pub(super) fn flush(&mut self) {
        let troubled = &mut self.troubled;
        self.out.flush(self.door.socket.udp(), |peer, trouble| troubled.push((peer, trouble)));
        while let Some((peer, trouble)) = self.troubled.pop() {
            match trouble {
                Trouble::Unsegmented => {
                    if let Some(running) = self.transfers.get_mut(&peer) {
                        running.unsegment();
                    }
                }
                // A page of the file that cannot be read.
                Trouble::Lost(error) if error.raw_os_error() == Some(libc::EFAULT) => {
                    let detail = Some(format!("a page of the blob cannot be read: {error}"));
                    let message = Some("the server cannot read its cache; try again later");
                    self.end(peer, &Over { outcome: Outcome::OriginFailed, detail, message });
                }
                // A packet lost, and the timer sees to those.
                Trouble::Lost(error) => debug!(%peer, %error, "a packet was not sent"),
            }
        }
    }

    /// Ends all transfers and tells their peers.
    pub(super) fn quit(mut self) {
        let peers: Vec<SocketAddr> = self.transfers.keys().copied().collect();
        for peer in peers {
            let detail = Some("the server is stopping".to_owned());
            let message = Some("the server is stopping; try again later");
            self.end(peer, &Over { outcome: Outcome::Refused, detail, message });
        }
    }
}

/// How many strangers may still hear an ERROR in this second.
#[derive(Default)]
struct Strangers {
    since: Option<Instant>,
    heard: u32,
}

impl Strangers {
    fn may_hear(&mut self, now: Instant) -> bool {
        if self.since.is_none_or(|since| now.saturating_duration_since(since) >= Duration::from_secs(1)) {
            (self.since, self.heard) = (Some(now), 0);
        }
        self.heard += 1;
        self.heard <= STRANGERS_A_SECOND
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_hear_a_bounded_number_of_errors_a_second() {
        let (mut strangers, now) = (Strangers::default(), Instant::now());
        let heard = (0..1000).filter(|_| strangers.may_hear(now)).count();
        assert_eq!(heard, 50);
        assert!(strangers.may_hear(now + Duration::from_secs(1)));
    }
}
