//! Answers packets of no transfer with ERROR 5, unknown transfer ID (RFC 1350 4), within limits.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::answer_limit::AnswerLimit;
use super::batch::Route;
use super::packet::{ErrorCode, Packet};
use super::socket::Socket;
use crate::rate_limit::{RateLimit, TokenBucket};

/// How many peers are remembered that get no ERROR: their transfers ended and an ACK is late, or they have had an ERROR.
const REMEMBERED: usize = 64;
/// ERROR packets to peers without a transfer: enough to inform a lost client, too few for an amplifier.
const LIMIT: RateLimit = RateLimit { burst: 50.0, per_second: 50.0 };
/// How long there are no answers: as long as clients wait before they repeat a packet.
const PAUSE: Duration = Duration::from_secs(10);
/// The message of the ERROR.
const MESSAGE: &str = "unknown transfer ID";

/// The answers to packets of no transfer.
pub(super) struct ErrorFive {
    answers: Arc<AnswerLimit>,
    state: Mutex<State>,
}

struct State {
    limiter: TokenBucket,
    /// No answers before this time.
    paused_until: Option<Instant>,
    /// Peers that get no ERROR, each until a time.
    suppressed: VecDeque<(SocketAddr, Instant)>,
}

impl State {
    fn suppress(&mut self, peer: SocketAddr, now: Instant) {
        if self.suppressed.len() == REMEMBERED {
            self.suppressed.pop_front();
        }
        self.suppressed.extend(now.checked_add(PAUSE).map(|until| (peer, until)));
    }

    fn is_suppressed(&self, peer: SocketAddr, now: Instant) -> bool {
        let is_paused = self.paused_until.is_some_and(|until| now < until);
        is_paused || self.suppressed.iter().any(|(other, until)| *other == peer && now < *until)
    }
}

impl ErrorFive {
    /// Answers within the limit of `answers` too.
    pub(super) fn new(answers: Arc<AnswerLimit>) -> Arc<Self> {
        let (limiter, suppressed) = (TokenBucket::new(LIMIT, Instant::now()), VecDeque::with_capacity(REMEMBERED));
        let state = State { limiter, paused_until: None, suppressed };
        Arc::new(Self { answers, state: Mutex::new(state) })
    }

    /// The transfer of `peer` on the socket of a listener ended: its late packets get no answer.
    pub(super) fn expect_late_packets(&self, peer: SocketAddr) {
        self.state.lock().suppress(peer, Instant::now());
    }

    /// Half-open transfers are being evicted, and their ports go to others: a late packet of their peers would be answered by an
    /// ERROR, after which a client gives up instead of repeating its request.
    pub(super) fn pause(&self, now: Instant) {
        self.state.lock().paused_until = now.checked_add(PAUSE);
    }

    /// Answers a packet from `peer` that belongs to no transfer of `socket`.
    pub(super) fn answer<E>(&self, socket: &Socket, peer: SocketAddr, packet: &Result<Packet<'_>, E>, now: Instant) {
        self.answer_along(socket, &Route { peer, source: None, segmentation: false }, packet, now);
    }

    /// Like [`ErrorFive::answer`], along the route on which the packet came.
    pub(super) fn answer_along<E>(&self, socket: &Socket, route: &Route, packet: &Result<Packet<'_>, E>, now: Instant) {
        // An ERROR that answers an ERROR could go back and forth for ever.
        if matches!(packet, Ok(Packet::Error { .. })) {
            return;
        }
        let allowed = {
            let mut state = self.state.lock();
            let allowed = !state.is_suppressed(route.peer, now)
                && state.limiter.take(now)
                // The packet has a code and a final zero.
                && self.answers.allow(route.peer.ip(), MESSAGE.len() + 5, now);
            if allowed {
                state.suppress(route.peer, now);
            }
            allowed
        };
        if allowed {
            socket.send_error(route, ErrorCode::UnknownTransfer, MESSAGE);
        }
    }
}
