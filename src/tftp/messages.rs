//! Messages between the threads of the TFTP server: what a worker receives.

use std::sync::{Arc, Weak};
use std::task::{Wake, Waker};

use tokio::sync::oneshot;

use super::active_transfer::ActiveTransfer;
use super::request::PendingRequest;
use super::wake_queue::WakeQueue;

/// A message to a worker thread. Transfers are named by their session id.
pub(super) enum WorkerMessage {
    /// Run this transfer.
    Start(Box<ActiveTransfer>),
    /// The peer repeated the request of this transfer to a listener.
    Repeat {
        /// The session id of the transfer.
        session: u64,
        /// The index of the listener.
        listener: usize,
        /// The request.
        pending: PendingRequest,
    },
    /// The peer sent another request: end its transfer.
    Replace(u64),
    /// The transfer lost its slot: end it without a record.
    Evict(u64),
    /// The transfer's byte stream has more.
    Resume(u64),
    /// Answer at the end of this turn of the loop.
    LivenessCheck(oneshot::Sender<()>),
    /// End all transfers and the thread.
    Shutdown,
}

/// The queue of a worker.
pub(super) type WorkerQueue = WakeQueue<WorkerMessage>;

/// A waker that sends [`WorkerMessage::Resume`] for a session to the worker of `queue`.
pub(super) fn resume_waker(queue: &Arc<WorkerQueue>, session: u64) -> Waker {
    Arc::new(ResumeWaker { queue: Arc::downgrade(queue), session }).into()
}

/// Wakes a worker when a transfer's byte stream has more.
struct ResumeWaker {
    /// Weak, because a transfer that waits in the queue holds its waker.
    queue: Weak<WorkerQueue>,
    session: u64,
}

impl Wake for ResumeWaker {
    fn wake(self: Arc<Self>) {
        if let Some(queue) = self.queue.upgrade() {
            queue.push(WorkerMessage::Resume(self.session));
        }
    }
}
