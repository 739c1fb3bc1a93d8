//! A listener of a worker: the socket of one listen address. Requests go to its dispatcher; in single-port mode the packets of
//! its transfers arrive here too.

use std::sync::Arc;
use std::time::Instant;

use tracing::error;

use super::batch::{self, BATCH, RecvBatch, Route};
use super::dispatcher::Dispatcher;
use super::packet::{Packet, PacketError};
use super::socket::Socket;
use super::transfers::Transfers;

/// Receive calls per turn, so that a socket that is always full does not keep the timers from firing.
const MAX_RECEIVE_CALLS: usize = 8;
/// Requests per turn. Cached assets are opened at once, and the transfers of the worker wait until all are. A worker handles 20,000
/// requests a second, one in 50 us: so many take 3 ms. The calls above would bring 512, which take longer than the shortest
/// retransmit timeout, 20 ms, after which running transfers repeat what their peers have acknowledged.
const MAX_REQUESTS: usize = BATCH;

/// One listener.
pub(super) struct Listener {
    /// Its socket.
    pub(super) socket: Arc<Socket>,
    /// Its dispatcher.
    pub(super) dispatcher: Arc<Dispatcher>,
}

impl Listener {
    /// Receives datagrams. Returns whether more may wait.
    pub(super) fn receive(&self, received: &mut RecvBatch, transfers: &mut Transfers) -> bool {
        let mut requests = 0;
        for _ in 0..MAX_RECEIVE_CALLS {
            let wanted = MAX_REQUESTS - requests;
            let count = received.receive_up_to(wanted, self.socket.udp()).unwrap_or_else(|error| {
                error!(address = %self.socket.address(), %error, "TFTP receive failed");
                0
            });
            let now = Instant::now();
            for datagram in received.iter() {
                let packet = Packet::parse(datagram.bytes);
                requests += usize::from(matches!(packet, Ok(Packet::Read(_))));
                self.handle_packet(datagram.route, packet, datagram.truncated, transfers, now);
            }
            transfers.flush();
            if count < wanted {
                return false;
            }
            if requests >= MAX_REQUESTS {
                break;
            }
        }
        true
    }

    /// Handles the errors that were reported about packets of this socket.
    pub(super) fn receive_errors(&self, transfers: &mut Transfers, now: Instant) {
        while let Ok(Some(error)) = batch::next_error(self.socket.udp()) {
            if let Some(session) = transfers.on_listener(self.dispatcher.listen_address.listener, error.peer) {
                transfers.handle_undelivered(session, error.peer, error.port_closed, now);
            }
        }
    }

    fn handle_packet(
        &self,
        route: Route,
        packet: Result<Packet<'_>, PacketError>,
        truncated: bool,
        transfers: &mut Transfers,
        now: Instant,
    ) {
        match packet {
            Ok(Packet::Ack { .. } | Packet::Error { .. }) => {
                match transfers.on_listener(self.dispatcher.listen_address.listener, route.peer) {
                    Some(session) => transfers.handle_packet(session, &packet, now),
                    None => self.dispatcher.error_five.answer_along(&self.socket, &route, &packet, now),
                }
            }
            Ok(Packet::Data { .. } | Packet::OptionAck { .. }) => {
                self.dispatcher.error_five.answer_along(&self.socket, &route, &packet, now);
            }
            _ => self.dispatcher.handle_packet(route, packet, truncated, now),
        }
    }
}
