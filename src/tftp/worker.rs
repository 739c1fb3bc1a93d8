//! A thread and the ports that it serves. Each turn it takes what has arrived, lets the ports answer, and sleeps until
//! there is more. It knows neither packets nor transfers.

use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::batch::Arrivals;
use super::mailbox::Mailbox;
use super::port::{Port, Post};
use super::socket::Socket;

/// What a worker is told.
pub(super) enum Letter {
    /// Something for the port of this slot.
    To(usize, Post),
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
}

impl Worker {
    /// A worker of `ports`, which are told of by `mailbox`.
    pub(super) fn new(mailbox: Arc<Mailbox<Letter>>, ports: Vec<Port>) -> Self {
        Self { mailbox, ready: vec![true; ports.len()], ports }
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
        let due = self.ports.iter().filter_map(Port::next_alarm).min();
        let timeout = match due {
            _ if more => Some(Timespec::default()),
            // A wait of more seconds than can be told is no wait that ends.
            due => due.and_then(|due| due.saturating_duration_since(now).try_into().ok()),
        };
        let bell = PollFd::from_borrowed_fd(self.mailbox.as_fd(), PollFlags::IN);
        let sockets = self.ports.iter().map(|port| PollFd::new(port.socket().udp(), PollFlags::IN));
        let mut wakers: Vec<PollFd<'_>> = sockets.chain([bell]).collect();
        // EINTR is one more turn of the loop.
        let _ = poll(&mut wakers, timeout.as_ref());
        // An error of the socket is heard by receiving.
        self.ready.clear();
        self.ready.extend(wakers[..self.ports.len()].iter().map(|waker| !waker.revents().is_empty()));
    }
}
