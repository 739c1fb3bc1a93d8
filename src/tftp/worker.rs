//! A thread and the ports that it serves. Each turn it takes what has arrived, lets the ports answer, and sleeps until
//! there is more. It knows neither packets nor transfers.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::{Timespec, epoll};
use tokio::sync::oneshot;

use super::batch::Arrivals;
use super::mailbox::Mailbox;
use super::port::{Port, Post};
use super::socket::Socket;

/// What a worker is told.
pub(super) enum Letter {
    /// Something for the port of this slot.
    To(usize, Post),
    /// Somebody asks whether the worker still turns.
    Pulse(oneshot::Sender<()>),
    /// The server ends: so do all transfers.
    Quit,
}

/// What others have of a port: its socket, and the way to it by its worker's mailbox.
#[derive(Clone)]
pub(super) struct Door {
    /// The socket.
    pub(super) socket: Arc<Socket>,
    /// The mailbox of the worker.
    pub(super) mailbox: Arc<Mailbox<Letter>>,
    /// Which of the worker's ports it is.
    pub(super) slot: usize,
}

impl Door {
    /// Tells the port something.
    pub(super) fn post(&self, post: Post) {
        self.mailbox.post(Letter::To(self.slot, post));
    }
}

/// The thread's state.
pub(super) struct Worker {
    mailbox: Arc<Mailbox<Letter>>,
    /// By slot.
    ports: Vec<Port>,
    /// Whether something may have arrived, by slot.
    ready: Vec<bool>,
    /// What [`watch`] made of the mailbox and the ports' sockets.
    watch: OwnedFd,
    events: Vec<epoll::Event>,
}

impl Worker {
    /// A worker of `ports`, which are told of by `mailbox`.
    pub(super) fn new(mailbox: Arc<Mailbox<Letter>>, ports: Vec<Port>, watch: OwnedFd) -> Self {
        let events = Vec::with_capacity(ports.len() + 1);
        Self { mailbox, ready: vec![true; ports.len()], ports, watch, events }
    }

    /// Runs until told to quit.
    pub(super) fn run(mut self) {
        let mut arrivals = Arrivals::new();
        let mut letters = Vec::new();
        loop {
            // A peer's ERROR must end its transfer before its next request is taken for a repeat. So requests are read,
            // then the mail with what came of them here and elsewhere, then what was sent to transfers, and then the mail
            // is done: whoever wrote it has seen what was sent before.
            let mut more = self.receive(&mut arrivals, |port| !port.runs_transfers());
            self.mailbox.take(&mut letters);
            if !letters.is_empty() {
                self.ready.fill(true);
            }
            more |= self.receive(&mut arrivals, Port::runs_transfers);
            let now = Instant::now();
            for letter in letters.drain(..) {
                match letter {
                    Letter::To(slot, post) => self.ports[slot].take(post, now),
                    // Who asked may have lost patience.
                    Letter::Pulse(answer) => drop(answer.send(())),
                    Letter::Quit => return self.ports.into_iter().for_each(Port::quit),
                }
            }
            for port in &mut self.ports {
                port.ring(now);
                port.flush();
            }
            self.sleep(now, more);
        }
    }

    /// Lets those ports of a kind receive for which something has arrived. Returns whether there may be more.
    fn receive(&mut self, arrivals: &mut Arrivals, kind: impl Fn(&Port) -> bool) -> bool {
        let mut more = false;
        for (port, ready) in self.ports.iter_mut().zip(&mut self.ready) {
            if kind(port) && std::mem::take(ready) {
                more |= port.receive(arrivals);
            }
        }
        more
    }

    /// Sleeps until something arrives, is posted, or comes due; not at all if there is `more` to receive.
    fn sleep(&mut self, now: Instant, more: bool) {
        let due = if more { Some(now) } else { self.ports.iter().filter_map(Port::next_alarm).min() };
        // Whole milliseconds, rounded up, are all that Linux before 5.11 knows. A wait of more seconds than can be told
        // is no wait that ends.
        let timeout = due.and_then(|due| match due.saturating_duration_since(now) {
            Duration::ZERO => Some(Timespec::default()),
            wait => Duration::from_secs(wait.as_secs()).saturating_add(whole_millis(wait)).try_into().ok(),
        });
        self.events.clear();
        // EINTR is one more turn.
        let _ = epoll::wait(&self.watch, rustix::buffer::spare_capacity(&mut self.events), timeout.as_ref());
        for event in &self.events {
            // The bell has no slot. An error of a socket is heard by receiving.
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

/// Watches a worker's mailbox and its sockets, which come in the order of their slots. An epoll, since to wait for one
/// of four with poll(2) costs a lone client 0.6 us more of its round trip of 19 us.
pub(super) fn watch<'a>(mailbox: &Mailbox<Letter>, sockets: impl Iterator<Item = &'a Socket>) -> io::Result<OwnedFd> {
    let watch = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    epoll::add(&watch, mailbox, epoll::EventData::new_u64(u64::MAX), epoll::EventFlags::IN)?;
    for (slot, socket) in (0..).zip(sockets) {
        epoll::add(&watch, socket.udp(), epoll::EventData::new_u64(slot), epoll::EventFlags::IN)?;
    }
    Ok(watch)
}
