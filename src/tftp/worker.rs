//! A worker: a thread with the listeners and transfers that it serves. Each turn it receives datagrams, handles messages, fires
//! timers, sends the answers, and waits for more. It knows no packets.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::{Timespec, epoll};

use super::active_transfer::ActiveTransfer;
use super::batch::RecvBatch;
use super::dispatcher::Dispatcher;
use super::listener::Listener;
use super::messages::{WorkerMessage, WorkerQueue};
use super::request::PendingRequest;
use super::socket::Socket;
use super::transfers::Transfers;

/// Events of one wait. More stay with the kernel until the next.
const MAX_EVENTS: usize = 256;
/// Receive calls for what a peer sent before its request. A client has sent a few packets; a flood must not keep the worker.
const MAX_EARLIER_CALLS: usize = 8;
/// The event data of the queue. Listeners count down from it; transfers have their session id, which counts up from 1.
const QUEUE: u64 = u64::MAX;

/// The thread's state.
pub(super) struct Worker {
    queue: Arc<WorkerQueue>,
    listeners: Vec<Listener>,
    /// The dispatchers of all listeners of the server.
    dispatchers: Arc<[Arc<Dispatcher>]>,
    transfers: Transfers,
    /// From [`create_epoll`].
    epoll: OwnedFd,
    events: Vec<epoll::Event>,
    received: RecvBatch,
    /// Session ids of the transfers whose sockets have more to receive.
    unfinished: Vec<u64>,
}

impl Worker {
    /// A worker with these listeners, which receives the messages of `queue`. `epoll` must watch both.
    pub(super) fn new(
        queue: Arc<WorkerQueue>,
        listeners: Vec<Listener>,
        dispatchers: Arc<[Arc<Dispatcher>]>,
        transfers: Transfers,
        epoll: OwnedFd,
    ) -> Self {
        let events = Vec::with_capacity(MAX_EVENTS);
        Self {
            queue,
            listeners,
            dispatchers,
            transfers,
            epoll,
            events,
            received: RecvBatch::new(),
            unfinished: Vec::new(),
        }
    }

    /// Runs until [`WorkerMessage::Shutdown`].
    pub(super) fn run(mut self) {
        let mut messages = Vec::new();
        let mut more = true;
        loop {
            self.wait(more);
            // Requests first: a transfer's socket is then read before the message about a request of its peer is handled.
            more = self.receive_requests();
            self.queue.drain_into(&mut messages);
            more |= self.receive_on_transfers();
            let now = Instant::now();
            for message in messages.drain(..) {
                match message {
                    WorkerMessage::Start(transfer) => self.start(*transfer, now),
                    WorkerMessage::Repeat { session, listener, pending } => {
                        self.repeat(session, listener, pending, now);
                    }
                    WorkerMessage::Replace(session) => {
                        self.receive_earlier_packets(session);
                        self.transfers.replace(session);
                    }
                    WorkerMessage::Evict(session) => self.transfers.evict(session),
                    WorkerMessage::Resume(session) => self.transfers.resume(session, now),
                    // Fails if the check was cancelled.
                    WorkerMessage::LivenessCheck(answer) => drop(answer.send(())),
                    WorkerMessage::Shutdown => return self.transfers.shut_down(),
                }
            }
            self.transfers.fire_timers(now);
            self.transfers.flush();
        }
    }

    /// Receives on the readable listeners. Returns whether more may wait.
    fn receive_requests(&mut self) -> bool {
        let mut more = false;
        for event in &self.events {
            let (data, flags) = (event.data.u64(), event.flags);
            let Some(listener) = listener_of(data, self.listeners.len()) else { continue };
            let listener = &self.listeners[listener];
            if flags.contains(epoll::EventFlags::ERR) {
                listener.receive_errors(&mut self.transfers, Instant::now());
            }
            more |= listener.receive(&mut self.received, &mut self.transfers);
        }
        more
    }

    /// Receives on the readable sockets of transfers. The kernel reports each once (edge-triggered), so those with more are kept.
    /// Returns whether there are any.
    fn receive_on_transfers(&mut self) -> bool {
        let mut readable = std::mem::take(&mut self.unfinished);
        for event in &self.events {
            let (data, flags) = (event.data.u64(), event.flags);
            if data == QUEUE || listener_of(data, self.listeners.len()).is_some() {
                continue;
            }
            if flags.contains(epoll::EventFlags::ERR) {
                self.transfers.receive_errors(data, Instant::now());
            }
            if flags.contains(epoll::EventFlags::IN) {
                readable.push(data);
            }
        }
        readable.sort_unstable();
        readable.dedup();
        readable.retain(|session| self.transfers.receive(*session, &mut self.received));
        self.transfers.flush();
        self.unfinished = readable;
        !self.unfinished.is_empty()
    }

    /// Receives what the peer of a transfer sent before its last request.
    fn receive_earlier_packets(&mut self, session: u64) {
        for _ in 0..MAX_EARLIER_CALLS {
            if !self.transfers.receive(session, &mut self.received) {
                return;
            }
        }
        self.unfinished.push(session);
    }

    fn start(&mut self, transfer: ActiveTransfer, now: Instant) {
        if transfer.listener().is_none() {
            let data = epoll::EventData::new_u64(transfer.session_id());
            if let Err(error) =
                epoll::add(&self.epoll, transfer.socket().udp(), data, epoll::EventFlags::IN | epoll::EventFlags::ET)
            {
                return self.transfers.refuse(transfer, &error.into());
            }
        }
        self.transfers.start(transfer, now);
    }

    /// Handles the request of a transfer that its peer repeated.
    fn repeat(&mut self, session: u64, listener: usize, pending: PendingRequest, now: Instant) {
        let dispatcher = Arc::clone(&self.dispatchers[listener]);
        // An ERROR among them ends the transfer.
        self.receive_earlier_packets(session);
        if !self.transfers.handle_repeat(session, dispatcher.listen_address.settings.timeout, now) {
            dispatcher.open(pending, now);
        }
    }

    /// Waits for a datagram, a message or a timer; does not wait if there is `more` to receive.
    fn wait(&mut self, more: bool) {
        let now = Instant::now();
        let due = if more { Some(now) } else { self.transfers.next_timer() };
        // Whole milliseconds, rounded up: Linux before 5.11 has no finer timeout. A wait too long for a timespec is no
        // timeout.
        let timeout = due.and_then(|due| match due.saturating_duration_since(now) {
            Duration::ZERO => Some(Timespec::default()),
            wait => Duration::from_secs(wait.as_secs()).saturating_add(whole_millis(wait)).try_into().ok(),
        });
        self.events.clear();
        // EINTR costs one more turn.
        let _ = epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut self.events), timeout.as_ref());
    }
}

/// The index of the listener that event data stands for.
fn listener_of(data: u64, listeners: usize) -> Option<usize> {
    let index = usize::try_from(QUEUE.checked_sub(1)?.checked_sub(data)?).ok()?;
    (index < listeners).then_some(index)
}

/// The part of a wait below a second, in whole milliseconds, rounded up.
fn whole_millis(wait: Duration) -> Duration {
    Duration::from_millis(u64::from(wait.subsec_nanos().div_ceil(1_000_000)))
}

/// An epoll that watches a worker's queue and its listeners. It is an epoll because poll(2) on four descriptors costs a lone
/// client 0.6 us more of its round trip of 19 us.
pub(super) fn create_epoll<'a>(
    queue: &WorkerQueue,
    listeners: impl Iterator<Item = &'a Socket>,
) -> io::Result<OwnedFd> {
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    epoll::add(&epoll, queue, epoll::EventData::new_u64(QUEUE), epoll::EventFlags::IN)?;
    for (index, socket) in (0..).zip(listeners) {
        epoll::add(&epoll, socket.udp(), epoll::EventData::new_u64(QUEUE - 1 - index), epoll::EventFlags::IN)?;
    }
    Ok(epoll)
}
