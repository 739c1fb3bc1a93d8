//! A worker: a thread and the ports that it serves. Each turn it receives datagrams, handles messages, fires timers, sends
//! the answers, and waits for more. It knows neither packets nor transfers.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::{Timespec, epoll};

use super::batch::RecvBatch;
use super::messages::WorkerMessage;
use super::port::Port;
use super::socket::Socket;
use super::wake_queue::WakeQueue;

/// The thread's state.
pub(super) struct Worker {
    queue: Arc<WakeQueue<WorkerMessage>>,
    /// By slot.
    ports: Vec<Port>,
    /// Whether datagrams may wait, by slot.
    ready: Vec<bool>,
    /// From [`create_epoll`].
    epoll: OwnedFd,
    events: Vec<epoll::Event>,
}

impl Worker {
    /// A worker that serves `ports` and receives the messages of `queue`. `epoll` must watch both.
    pub(super) fn new(queue: Arc<WakeQueue<WorkerMessage>>, ports: Vec<Port>, epoll: OwnedFd) -> Self {
        let events = Vec::with_capacity(ports.len() + 1);
        Self { queue, ready: vec![true; ports.len()], ports, epoll, events }
    }

    /// Runs until [`WorkerMessage::Shutdown`].
    pub(super) fn run(mut self) {
        let mut received = RecvBatch::new();
        let mut messages = Vec::new();
        loop {
            // A peer's ERROR must end its transfer before its next request is taken for a repeat. Therefore the order is:
            // receive requests; drain the queue, with what those requests caused here and on other workers; receive on
            // data ports; handle the drained messages. Whatever a peer sent before its request is then handled first.
            let mut more = self.receive(&mut received, |port| !port.is_data_port());
            self.queue.drain_into(&mut messages);
            if !messages.is_empty() {
                self.ready.fill(true);
            }
            more |= self.receive(&mut received, Port::is_data_port);
            let now = Instant::now();
            for message in messages.drain(..) {
                match message {
                    WorkerMessage::Port(slot, message) => self.ports[slot].handle_message(message, now),
                    // Fails if the check was cancelled.
                    WorkerMessage::LivenessCheck(answer) => drop(answer.send(())),
                    WorkerMessage::Shutdown => return self.ports.into_iter().for_each(Port::shut_down),
                }
            }
            for port in &mut self.ports {
                port.fire_timers(now);
                port.flush();
            }
            self.wait(now, more);
        }
    }

    /// Receives on the ready ports for which `filter` is true. Returns whether more datagrams may wait.
    fn receive(&mut self, received: &mut RecvBatch, filter: impl Fn(&Port) -> bool) -> bool {
        let mut more = false;
        for (port, ready) in self.ports.iter_mut().zip(&mut self.ready) {
            if filter(port) && std::mem::take(ready) {
                more |= port.receive(received);
            }
        }
        more
    }

    /// Waits for a datagram, a message or a timer; returns at once if there is `more` to receive.
    fn wait(&mut self, now: Instant, more: bool) {
        let due = if more { Some(now) } else { self.ports.iter().filter_map(Port::next_timer).min() };
        // Whole milliseconds, rounded up: Linux before 5.11 has no finer timeout. A wait too long for a timespec is no
        // timeout.
        let timeout = due.and_then(|due| match due.saturating_duration_since(now) {
            Duration::ZERO => Some(Timespec::default()),
            wait => Duration::from_secs(wait.as_secs()).saturating_add(whole_millis(wait)).try_into().ok(),
        });
        self.events.clear();
        // EINTR costs one more turn.
        let _ = epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut self.events), timeout.as_ref());
        for event in &self.events {
            // The queue has no slot. The receive call reports a socket's error.
            let slot = usize::try_from(event.data.u64()).unwrap_or(usize::MAX);
            if let Some(ready) = self.ready.get_mut(slot) {
                *ready = true;
            }
        }
    }
}

/// The part of a wait below a second, in whole milliseconds, rounded up.
fn whole_millis(wait: Duration) -> Duration {
    Duration::from_millis(u64::from(wait.subsec_nanos().div_ceil(1_000_000)))
}

/// An epoll that watches a worker's queue and its sockets, which are in the order of their slots. It is an epoll because
/// poll(2) on four descriptors costs a lone client 0.6 us more of its round trip of 19 us.
pub(super) fn create_epoll<'a>(
    queue: &WakeQueue<WorkerMessage>,
    sockets: impl Iterator<Item = &'a Socket>,
) -> io::Result<OwnedFd> {
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    epoll::add(&epoll, queue, epoll::EventData::new_u64(u64::MAX), epoll::EventFlags::IN)?;
    for (slot, socket) in (0..).zip(sockets) {
        epoll::add(&epoll, socket.udp(), epoll::EventData::new_u64(slot), epoll::EventFlags::IN)?;
    }
    Ok(epoll)
}
