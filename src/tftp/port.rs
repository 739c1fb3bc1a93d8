//! The loop of one UDP port: all transfers that share it, on a thread of its own. Each turn takes what has arrived,
//! lets the state machines answer, and sends all answers as one batch.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Weak};
use std::task::{Context, Wake, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use metrics::{Counter, counter};
use rustix::event::{PollFd, PollFlags, poll};
use tracing::{debug, error};

use super::alarms::{Alarm, Alarms};
use super::batch::{Arrivals, BATCH, Departures, Route};
use super::desk::{Asked, Desk, Door};
use super::feed::Feed;
use super::mailbox::Mailbox;
use super::options::Terms;
use super::packet::{self, ErrorCode, HEADER, Packet};
use super::seats::Seat;
use super::transfer::{Ending, Transfer, Transmit, wire};
use crate::depot::{ByteStream, Outcome, Transfer as Account};

/// Receive calls of one turn: the transfers that a full socket keeps busy must not keep the alarms from ringing.
const ROUNDS: usize = 8;
/// Peers whose transfers ended lately, and whose late ACKs are no riddle.
const REMEMBERED: usize = 64;
/// ERROR packets a second to peers without a transfer: enough to tell a lost client, too few to be an amplifier.
const STRANGERS_A_SECOND: u32 = 50;

/// What a port's loop is told.
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
    /// The server ends: so do all transfers.
    Quit,
}

/// A transfer that runs on a port.
pub(super) struct Running {
    seat: Seat,
    route: Route,
    oack: Bytes,
    /// The size of a full DATA packet.
    full: usize,
    transfer: Transfer,
    feed: Feed<ByteStream>,
    account: Account,
    waker: Waker,
    alarm: Alarm,
    /// When the peer was last heard.
    heard: Instant,
}

/// How a transfer ends that its state machine did not end.
struct Fault {
    outcome: Outcome,
    detail: String,
    /// What the peer is told.
    message: &'static str,
}

/// Wakes a transfer's loop when the transfer's stream has more.
struct StreamWaker {
    /// Weak, since a transfer that waits in the mailbox holds its waker.
    mailbox: Weak<Mailbox<Post>>,
    peer: SocketAddr,
    id: u64,
}

impl Wake for StreamWaker {
    fn wake(self: Arc<Self>) {
        if let Some(mailbox) = self.mailbox.upgrade() {
            mailbox.post(Post::Wake { peer: self.peer, id: self.id });
        }
    }
}

impl Running {
    /// A transfer of `feed`'s bytes that is ready to run; `mailbox` is its port's.
    pub(super) fn new(
        seat: Seat,
        route: Route,
        terms: Terms,
        transfer: Transfer,
        feed: Feed<ByteStream>,
        account: Account,
        mailbox: &Arc<Mailbox<Post>>,
    ) -> Self {
        let wake = StreamWaker { mailbox: Arc::downgrade(mailbox), peer: seat.peer(), id: seat.id() };
        Self {
            seat,
            route,
            full: usize::from(terms.blksize) + HEADER,
            oack: terms.oack.unwrap_or_default().into(),
            transfer,
            feed,
            account,
            waker: Arc::new(wake).into(),
            alarm: Alarm::default(),
            heard: Instant::now(),
        }
    }

    /// Reads what the next window needs, and adds to `out` what is to be sent now.
    fn advance(&mut self, now: Instant, out: &mut Departures) -> Result<(), Fault> {
        self.feed.release(self.transfer.released());
        let filled = self.feed.fill(self.transfer.needed(), &mut Context::from_waker(&self.waker));
        filled.map_err(|e| Fault { outcome: e.outcome(), detail: e.to_string(), message: e.public() })?;
        self.transfer.offer(self.feed.available(), self.feed.ended());
        while let Some(transmit) = self.transfer.poll_transmit(now) {
            match transmit {
                Transmit::OptionAck => out.push_whole(&self.route, self.oack.clone()),
                Transmit::Blocks { first, last } => {
                    for block in first..=last {
                        let (offset, length) = self.transfer.block(block);
                        let payload = self.feed.slices(offset, length);
                        out.push(&self.route, self.full, packet::data_header(wire(block)), payload);
                    }
                }
            }
        }
        Ok(())
    }

    fn end(mut self, outcome: Outcome, detail: Option<&str>, retransmits: &Counter) {
        retransmits.increment(self.transfer.resent());
        self.account.add_sent(self.transfer.payload_sent());
        self.account.finish(outcome, detail);
    }
}

/// What a port is for; both in single-port mode.
#[derive(Debug, Clone, Copy)]
pub(super) struct Role {
    /// It takes requests.
    pub(super) requests: bool,
    /// Transfers run on it: its index among the data ports.
    pub(super) data: Option<usize>,
}

/// The loop of one port.
pub(super) struct Port {
    door: Door,
    role: Role,
    desk: Arc<Desk>,
    transfers: HashMap<SocketAddr, Running>,
    alarms: Alarms<(SocketAddr, u64)>,
    out: Departures,
    /// Transfers that could not be sent to.
    unsent: Vec<(SocketAddr, io::Error)>,
    ended: VecDeque<SocketAddr>,
    strangers: Strangers,
    retransmits: Counter,
}

impl Port {
    /// The loop of `door`'s port.
    pub(super) fn new(door: Door, role: Role, desk: Arc<Desk>) -> Self {
        Self {
            door,
            role,
            desk,
            transfers: HashMap::new(),
            alarms: Alarms::new(),
            out: Departures::new(),
            unsent: Vec::new(),
            ended: VecDeque::with_capacity(REMEMBERED),
            strangers: Strangers::default(),
            retransmits: counter!("bootdepot_tftp_retransmits_total"),
        }
    }

    /// Runs until told to quit.
    pub(super) fn run(mut self) {
        let runtime = self.desk.runtime.clone();
        // Streams spawn their blocking reads on the runtime.
        let _entered = runtime.enter();
        let mut arrivals = Arrivals::new();
        let mut posts = Vec::new();
        loop {
            // Taken before the socket is read and done after: who posts has sent what it sent before. So the ERROR that
            // ends a transfer is heard before the same peer's next request.
            self.door.mailbox.take(&mut posts);
            let (now, more) = self.receive(&mut arrivals);
            for post in posts.drain(..) {
                match post {
                    Post::Start(running) => self.start(*running, now),
                    Post::Repeat(asked) => self.repeat(asked, now),
                    Post::Leave { peer, id } => self.leave(peer, id),
                    Post::Wake { peer, id } => self.wake(peer, id, now),
                    Post::Quit => return self.quit(),
                }
            }
            self.ring(now);
            self.flush();
            if !more {
                self.sleep(now);
            }
        }
    }

    /// Takes what has arrived. Returns the time, and whether there may be more.
    fn receive(&mut self, arrivals: &mut Arrivals) -> (Instant, bool) {
        let mut now = Instant::now();
        for _ in 0..ROUNDS {
            let count = arrivals.receive(self.door.socket.udp()).unwrap_or_else(|error| {
                error!(address = %self.door.socket.address(), %error, "receiving failed");
                0
            });
            for arrival in arrivals.iter() {
                self.datagram(arrival.route, arrival.datagram, arrival.cut, now);
            }
            if count < BATCH {
                return (now, false);
            }
            self.flush();
            now = Instant::now();
        }
        (now, true)
    }

    fn datagram(&mut self, route: Route, datagram: &[u8], cut: bool, now: Instant) {
        let packet = Packet::parse(datagram);
        if let Some(running) = self.transfers.get_mut(&route.peer) {
            match packet {
                Ok(Packet::Ack { block }) => {
                    running.heard = now;
                    running.transfer.handle_ack(block, now);
                    return self.advance(route.peer, now);
                }
                Ok(Packet::Error { code, message }) => {
                    let said = String::from_utf8_lossy(message);
                    debug!(peer = %route.peer, code, %said, "the peer sent an error");
                    running.transfer.handle_error(code);
                    return self.advance(route.peer, now);
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

    fn start(&mut self, running: Running, now: Instant) {
        let peer = running.route.peer;
        self.ended.retain(|ended| *ended != peer);
        if let Some(older) = self.transfers.insert(peer, running) {
            older.end(Outcome::Aborted, Some("the peer asked anew"), &self.retransmits);
        }
        self.advance(peer, now);
    }

    fn repeat(&mut self, asked: Asked, now: Instant) {
        let peer = asked.route.peer;
        if let Some(running) = self.transfers.get_mut(&peer) {
            if running.transfer.handle_repeat() {
                return self.advance(peer, now);
            }
            // With one port for all, a late copy of the request would end the transfer that it began.
            let silent = now.saturating_duration_since(running.heard) >= self.desk.settings.timeout;
            if self.role.requests && !silent {
                return;
            }
        }
        self.desk.begin(asked, self.role.data);
    }

    fn leave(&mut self, peer: SocketAddr, id: u64) {
        if self.transfers.get(&peer).is_some_and(|running| running.seat.id() == id) {
            self.end(peer, Outcome::Aborted, Some("the peer asked for something else"));
        }
    }

    fn wake(&mut self, peer: SocketAddr, id: u64, now: Instant) {
        if let Some(running) = self.transfers.get_mut(&peer)
            && running.seat.id() == id
        {
            running.feed.woken();
            self.advance(peer, now);
        }
    }

    /// Lets those transfers act whose time has come.
    fn ring(&mut self, now: Instant) {
        while let Some((due, (peer, id))) = self.alarms.pop(now) {
            if let Some(running) = self.transfers.get_mut(&peer)
                && running.seat.id() == id
                && running.alarm.rings(due)
            {
                running.transfer.handle_timeout(now);
                self.advance(peer, now);
            }
        }
    }

    /// Lets a transfer send what it can, and ends it if it is over.
    fn advance(&mut self, peer: SocketAddr, now: Instant) {
        let Some(running) = self.transfers.get_mut(&peer) else { return };
        let ending = match running.transfer.ending() {
            Some(ending) => Some(ending),
            None => match running.advance(now, &mut self.out) {
                Ok(()) => None,
                Err(fault) => return self.fault(peer, &fault),
            },
        };
        let Some(ending) = ending else {
            let key = (peer, running.seat.id());
            self.alarms.set(&mut running.alarm, running.transfer.poll_timeout(), key);
            if self.out.is_full() {
                self.flush();
            }
            return;
        };
        let (outcome, detail) = match ending {
            Ending::Complete => (Outcome::Complete, None),
            Ending::Probe => (Outcome::Probe, None),
            Ending::Aborted => (Outcome::Aborted, None),
            Ending::Timeout => (Outcome::Timeout, None),
        };
        self.end(peer, outcome, detail);
    }

    fn fault(&mut self, peer: SocketAddr, fault: &Fault) {
        if let Some(running) = self.transfers.get(&peer) {
            self.door.socket.send_error(&running.route, ErrorCode::Undefined, fault.message);
        }
        self.end(peer, fault.outcome, Some(&fault.detail));
    }

    fn end(&mut self, peer: SocketAddr, outcome: Outcome, detail: Option<&str>) {
        if let Some(running) = self.transfers.remove(&peer) {
            running.end(outcome, detail, &self.retransmits);
            if self.ended.len() == REMEMBERED {
                self.ended.pop_front();
            }
            self.ended.push_back(peer);
        }
    }

    fn flush(&mut self) {
        let unsent = &mut self.unsent;
        self.out.flush(self.door.socket.udp(), |peer, error| unsent.push((peer, error)));
        while let Some((peer, error)) = self.unsent.pop() {
            // A page of the file that cannot be read. All else is a packet lost, and the timer sees to those.
            if error.raw_os_error() == Some(libc::EFAULT) {
                let message = "the server cannot read its cache; try again later";
                let detail = format!("a page of the blob cannot be read: {error}");
                self.fault(peer, &Fault { outcome: Outcome::OriginFailed, detail, message });
            } else {
                debug!(%peer, %error, "a packet was not sent");
            }
        }
    }

    /// Sleeps until something arrives, is posted, or comes due.
    fn sleep(&mut self, now: Instant) {
        let timeout = self.alarms.next().map(|due| due.saturating_duration_since(now));
        // A wait of that many seconds is no wait that ends.
        let timeout = timeout.and_then(|wait| wait.try_into().ok());
        let mut wakers =
            [PollFd::new(self.door.socket.udp(), PollFlags::IN), PollFd::new(&*self.door.mailbox, PollFlags::IN)];
        // EINTR is one more turn of the loop.
        let _ = poll(&mut wakers, timeout.as_ref());
    }

    fn quit(mut self) {
        let peers: Vec<SocketAddr> = self.transfers.keys().copied().collect();
        let (outcome, detail) = (Outcome::Refused, "the server is stopping".to_owned());
        let fault = Fault { outcome, detail, message: "the server is stopping; try again later" };
        for peer in peers {
            self.fault(peer, &fault);
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
    fn the_state_of_a_transfer_is_small() {
        // The bound is 64 KiB with what it points at: an OACK, a waker, and the chunks of two windows' bytes.
        assert!(size_of::<Running>() < 2048, "{} bytes", size_of::<Running>());
    }

    #[test]
    fn strangers_hear_a_bounded_number_of_errors_a_second() {
        let (mut strangers, now) = (Strangers::default(), Instant::now());
        let heard = (0..1000).filter(|_| strangers.may_hear(now)).count();
        assert_eq!(heard, 50);
        assert!(strangers.may_hear(now + Duration::from_secs(1)));
    }
}
