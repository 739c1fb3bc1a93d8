//! A listener of a worker: the socket of one listen address. Requests go to its dispatcher; in single-port mode the packets of
//! its transfers arrive here too.

use std::sync::Arc;
use std::time::Instant;

use tracing::error;

use super::batch::{self, BATCH, RecvBatch, Route};
use super::dispatcher::Dispatcher;
use super::packet::Packet;
use super::socket::Socket;
use super::transfers::Transfers;

/// Receive calls per turn, so that a socket that is always full does not keep the timers from firing.
const MAX_RECEIVE_CALLS: usize = 8;

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
        for _ in 0..MAX_RECEIVE_CALLS {
            let count = received.receive(self.socket.udp()).unwrap_or_else(|error| {
                error!(address = %self.socket.address(), %error, "TFTP receive failed");
                0
            });
            let now = Instant::now();
            for datagram in received.iter() {
                self.handle_datagram(datagram.route, datagram.bytes, datagram.truncated, transfers, now);
            }
            transfers.flush();
            if count < BATCH {
                return false;
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

    fn handle_datagram(&self, route: Route, bytes: &[u8], truncated: bool, transfers: &mut Transfers, now: Instant) {
        let packet = Packet::parse(bytes);
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
