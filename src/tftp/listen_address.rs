//! One listen address and what its requests need: the settings, the source of bytes, and the workers. It knows no sessions.

use std::io;
use std::sync::Arc;
use std::time::Instant;

use super::active_transfer::Endpoint;
use super::answer_limit::AnswerLimit;
use super::batch::Route;
use super::messages::WorkerQueue;
use super::options::Negotiated;
use super::packet::ErrorCode;
use super::settings::TftpSettings;
use super::socket::Socket;
use crate::boot::Boot;

/// A listen address.
pub(super) struct ListenAddress {
    /// The settings.
    pub(super) settings: Arc<TftpSettings>,
    /// The source of assets and scripts.
    pub(super) boot: Boot,
    /// The limit on bytes to peers that are not validated.
    pub(super) answers: Arc<AnswerLimit>,
    /// Its socket.
    pub(super) socket: Arc<Socket>,
    /// Its index.
    pub(super) listener: usize,
    /// The queues of all workers.
    pub(super) workers: Arc<[Arc<WorkerQueue>]>,
}

impl ListenAddress {
    /// The index and the queue of the worker that has the transfer of this session. A transfer that shares the socket of the
    /// listener needs the listener's worker, which receives on that socket.
    pub(super) fn worker_of(&self, session: u64) -> (usize, &Arc<WorkerQueue>) {
        let turn = if self.settings.single_port { self.listener as u64 } else { session };
        let index = usize::try_from(turn % self.workers.len() as u64).unwrap_or_default();
        (index, &self.workers[index])
    }

    /// Where a transfer along `route` with these parameters sends from: a socket of its own, or this listener's.
    pub(super) fn endpoint(&self, route: &Route, negotiated: &Negotiated) -> io::Result<Endpoint> {
        if self.settings.single_port {
            return Ok(Endpoint { socket: Arc::clone(&self.socket), listener: Some(self.listener), route: *route });
        }
        let (socket, route) = self.socket.bind_for_transfer(route, negotiated)?;
        Ok(Endpoint { socket: Arc::new(socket), listener: None, route })
    }

    /// Sends an ERROR packet to a peer that is not validated, within the limit.
    pub(super) fn send_error(&self, route: &Route, code: ErrorCode, message: &str) {
        // The packet has a code and a final zero.
        if self.answers.allow(route.peer.ip(), message.len() + 5, Instant::now()) {
            self.socket.send_error(route, code, message);
        }
    }
}
