//! Messages between the threads of the TFTP server: what a worker receives, what a port receives, and the handle that
//! sends to a port. The actors that act on them are `worker` and `port`.

use std::net::SocketAddr;
use std::sync::{Arc, Weak};
use std::task::{Wake, Waker};

use tokio::sync::oneshot;

use super::active_transfer::ActiveTransfer;
use super::request::PendingRequest;
use super::socket::Socket;
use super::wake_queue::WakeQueue;

/// A message to a worker thread.
pub(super) enum WorkerMessage {
    /// Deliver the message to the port in this slot.
    Port(usize, PortMessage),
    /// Answer at the end of this turn of the loop.
    LivenessCheck(oneshot::Sender<()>),
    /// End all transfers and the thread.
    Shutdown,
}

/// A message to a port.
pub(super) enum PortMessage {
    /// Run this transfer.
    Start(Box<ActiveTransfer>),
    /// The peer repeated the request of its active transfer.
    Repeat(PendingRequest),
    /// The peer sent another request or an ERROR: end its transfer.
    Cancel {
        /// The peer.
        peer: SocketAddr,
        /// The session id of the transfer.
        session: u64,
    },
    /// The transfer's byte stream has more.
    Resume {
        /// The peer.
        peer: SocketAddr,
        /// The session id of the transfer.
        session: u64,
    },
}

/// A port's socket, and the queue of the worker that serves it.
#[derive(Clone)]
pub(super) struct PortHandle {
    /// The socket.
    pub(super) socket: Arc<Socket>,
    /// The worker's queue.
    pub(super) queue: Arc<WakeQueue<WorkerMessage>>,
    /// The port's index among the worker's ports.
    pub(super) slot: usize,
}

impl PortHandle {
    /// Sends a message to the port.
    pub(super) fn send(&self, message: PortMessage) {
        self.queue.push(WorkerMessage::Port(self.slot, message));
    }

    /// A waker that sends [`PortMessage::Resume`] for the transfer of `peer` with this session id.
    pub(super) fn resume_waker(&self, peer: SocketAddr, session: u64) -> Waker {
        Arc::new(ResumeWaker { queue: Arc::downgrade(&self.queue), slot: self.slot, peer, session }).into()
    }
}

/// Wakes a port when a transfer's byte stream has more.
struct ResumeWaker {
    /// Weak, because a transfer that waits in the queue holds its waker.
    queue: Weak<WakeQueue<WorkerMessage>>,
    slot: usize,
    peer: SocketAddr,
    session: u64,
}

impl Wake for ResumeWaker {
    fn wake(self: Arc<Self>) {
        if let Some(queue) = self.queue.upgrade() {
            let resume = PortMessage::Resume { peer: self.peer, session: self.session };
            queue.push(WorkerMessage::Port(self.slot, resume));
        }
    }
}
