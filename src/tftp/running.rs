//! A transfer that runs: its state machine with the bytes, the route and the account that belong to it. It knows
//! neither sockets nor the others that share its port.

use std::net::SocketAddr;
use std::sync::{Arc, Weak};
use std::task::{Context, Wake, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use metrics::Counter;

use super::alarms::{Alarm, Alarms};
use super::batch::{Departures, Route};
use super::feed::Feed;
use super::mailbox::Mailbox;
use super::options::Terms;
use super::packet::{self, HEADER};
use super::port::Post;
use super::seats::Seat;
use super::transfer::{Ending, Transfer, Transmit, wire};
use super::worker::{Door, Letter};
use crate::depot::{ByteStream, Outcome, Transfer as Account};

/// The longest time an alarm is set for. One that is moved forward leaves a void entry behind until it would have rung,
/// and a transfer's deadline may be days away.
const LONGEST_ALARM: Duration = Duration::from_secs(10);

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

/// How a transfer ends.
pub(super) struct Over {
    /// Its outcome.
    pub(super) outcome: Outcome,
    /// What the log says besides.
    pub(super) detail: Option<String>,
    /// What the peer is told, if its own packets did not end the transfer.
    pub(super) message: Option<&'static str>,
}

/// Wakes a transfer's loop when the transfer's stream has more.
struct StreamWaker {
    /// Weak, since a transfer that waits in the mailbox holds its waker.
    mailbox: Weak<Mailbox<Letter>>,
    slot: usize,
    peer: SocketAddr,
    id: u64,
}

impl Wake for StreamWaker {
    fn wake(self: Arc<Self>) {
        if let Some(mailbox) = self.mailbox.upgrade() {
            mailbox.post(Letter::To(self.slot, Post::Wake { peer: self.peer, id: self.id }));
        }
    }
}

impl Running {
    /// A transfer of `feed`'s bytes that is ready to run on `door`'s port.
    pub(super) fn new(
        seat: Seat,
        route: Route,
        terms: Terms,
        transfer: Transfer,
        feed: Feed<ByteStream>,
        account: Account,
        door: &Door,
    ) -> Self {
        let mailbox = Arc::downgrade(&door.mailbox);
        let wake = StreamWaker { mailbox, slot: door.slot, peer: seat.peer(), id: seat.id() };
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

    /// The seat's id.
    pub(super) fn id(&self) -> u64 {
        self.seat.id()
    }

    /// The way to the peer.
    pub(super) fn route(&self) -> &Route {
        &self.route
    }

    /// Says that the way to the peer takes no rows of packets as one message.
    pub(super) fn unsegment(&mut self) {
        self.route.segments = false;
    }

    /// Whether the peer was silent for that long.
    pub(super) fn is_silent(&self, now: Instant, wait: Duration) -> bool {
        now.saturating_duration_since(self.heard) >= wait
    }

    /// Takes an ACK.
    pub(super) fn handle_ack(&mut self, block: u16, now: Instant) {
        self.heard = now;
        self.transfer.handle_ack(block, now);
    }

    /// Takes an ERROR.
    pub(super) fn handle_error(&mut self, code: u16) {
        self.transfer.handle_error(code);
    }

    /// Takes the same request again; see [`Transfer::handle_repeat`].
    pub(super) fn handle_repeat(&mut self) -> bool {
        self.transfer.handle_repeat()
    }

    /// The stream has more.
    pub(super) fn handle_wake(&mut self) {
        self.feed.woken();
    }

    /// Takes the alarm that was due at `due`. Returns whether it was the transfer's.
    pub(super) fn handle_alarm(&mut self, due: Instant, now: Instant) -> bool {
        let rings = self.alarm.rings(due);
        if rings {
            self.transfer.handle_timeout(now);
        }
        rings
    }

    /// Reads what the next window needs, adds to `out` what is to be sent now, and sets the next alarm; or says how the
    /// transfer ended.
    pub(super) fn advance(
        &mut self,
        now: Instant,
        out: &mut Departures,
        alarms: &mut Alarms<(SocketAddr, u64)>,
    ) -> Result<(), Over> {
        if let Some(ending) = self.transfer.ending() {
            return Err(ending.into());
        }
        self.feed.release(self.transfer.released());
        let filled = self.feed.fill(self.transfer.needed(), &mut Context::from_waker(&self.waker));
        filled.map_err(|e| Over { outcome: e.outcome(), detail: Some(e.to_string()), message: Some(e.public()) })?;
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
        self.account.set_sent(self.transfer.payload_sent());
        let due = self.transfer.poll_timeout().min(now + LONGEST_ALARM);
        alarms.set(&mut self.alarm, due, (self.route.peer, self.seat.id()));
        Ok(())
    }

    /// Accounts for the transfer, which is over.
    pub(super) fn end(self, outcome: Outcome, detail: Option<&str>, retransmits: &Counter) {
        retransmits.increment(self.transfer.resent());
        self.account.set_sent(self.transfer.payload_sent());
        self.account.finish(outcome, detail);
    }
}

impl Over {
    /// The peer is let go: it has asked for something else.
    pub(super) fn left(detail: &str) -> Self {
        Self { outcome: Outcome::Aborted, detail: Some(detail.to_owned()), message: None }
    }
}

impl From<Ending> for Over {
    fn from(ending: Ending) -> Self {
        let outcome = match ending {
            Ending::Complete => Outcome::Complete,
            Ending::Probe => Outcome::Probe,
            Ending::Aborted => Outcome::Aborted,
            Ending::Timeout => Outcome::Timeout,
        };
        Self { outcome, detail: None, message: None }
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
}
