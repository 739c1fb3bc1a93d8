//! One connected client: who it is, and whether it still does its part. It knows no requests.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use crate::depot::{Delivery, Outcome};

/// One connected client, shared by its socket, its answers and its timer.
///
/// A client is silent when it keeps the server waiting for the idle timeout: for a whole request, or for room in a
/// socket or a flow-control window. While the server itself owes the next bytes (a slow origin), it is not. One
/// rule covers requests that trickle in, idle keep-alive, and readers that stopped reading, and needs one timer
/// a connection, which is not touched by the traffic.
pub(crate) struct Client {
    /// Its address; an IPv4 client of a dual-stack listener has its IPv4 address.
    pub(crate) peer: SocketAddr,
    /// The address of ours that it reached; IPv4 as IPv4.
    pub(crate) local: SocketAddr,
    /// Whether its connection is encrypted.
    pub(super) secure: bool,
    /// How its connection wants the bytes of blobs.
    pub(super) delivery: Delivery,
    patience: Duration,
    born: Instant,
    /// When the client last did its part, or the turn became its: milliseconds since `born`.
    turned: AtomicU64,
    /// Answers, or pieces of them, that the server is working on.
    owed: AtomicUsize,
    /// The socket takes no more for now.
    blocked: AtomicBool,
    end: AtomicU8,
}

/// Why the server ended a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum End {
    /// It did not: the client left, or all went well.
    Client,
    /// The client fell silent.
    Silence,
    /// The server stops, and the grace period is over.
    Stop,
    /// The pages of a blob that were to be sent could not be read.
    Unreadable,
}

/// The server owes this client something, for as long as this lives.
pub(super) struct Owed(Arc<Client>);

impl Client {
    /// A client that has just connected, and may be silent for `patience`.
    pub(crate) fn new(peer: SocketAddr, local: SocketAddr, secure: bool, patience: Duration) -> Arc<Self> {
        let canonical = |address: SocketAddr| SocketAddr::new(address.ip().to_canonical(), address.port());
        Arc::new(Self {
            peer: canonical(peer),
            local: canonical(local),
            secure,
            // A secure connection reads what is mapped to encrypt it.
            delivery: if secure { Delivery::Copied } else { Delivery::Mapped },
            patience,
            born: Instant::now(),
            turned: AtomicU64::new(0),
            owed: AtomicUsize::new(0),
            blocked: AtomicBool::new(false),
            end: AtomicU8::new(End::Client as u8),
        })
    }

    /// The server owes the client something from now on, until the guard is dropped.
    pub(super) fn owe(self: &Arc<Self>) -> Owed {
        self.owed.fetch_add(1, Ordering::Relaxed);
        Owed(Arc::clone(self))
    }

    /// The socket took some bytes.
    pub(super) fn took(&self) {
        self.blocked.store(false, Ordering::Relaxed);
        self.turn();
    }

    /// The socket takes no more for now.
    pub(super) fn block(&self) {
        if !self.blocked.swap(true, Ordering::Relaxed) {
            self.turn();
        }
    }

    /// Whether the socket had no room when it was last written to.
    pub(super) fn is_blocked(&self) -> bool {
        self.blocked.load(Ordering::Relaxed)
    }

    /// When to ask again whether the client is silent, or `None` if it is.
    pub(super) fn silent_at(&self, now: Instant) -> Option<Instant> {
        // Pairs with the drop of `Owed`: seeing nothing owed, one also sees when that came to be.
        let servers_turn = self.owed.load(Ordering::Acquire) > 0 && !self.is_blocked();
        let since = self.born + Duration::from_millis(self.turned.load(Ordering::Relaxed));
        let at = if servers_turn { now } else { since } + self.patience;
        if at > now { Some(at) } else { None }
    }

    /// Notes why the server is about to end the connection; the transfers that this cuts tell by it.
    pub(super) fn end(&self, end: End) {
        self.end.store(end as u8, Ordering::Relaxed);
    }

    /// How a transfer ends that is dropped before its last byte, and what the log should say of it.
    pub(super) fn verdict(&self) -> (Outcome, Option<&'static str>) {
        match self.end.load(Ordering::Relaxed) {
            end if end == End::Silence as u8 => {
                (Outcome::Timeout, Some("the client took no bytes for the idle timeout"))
            }
            end if end == End::Stop as u8 => {
                (Outcome::Refused, Some("the server stopped and the grace period was over"))
            }
            end if end == End::Unreadable as u8 => (
                Outcome::OriginFailed,
                Some("the cache cannot be read: a page of a blob was lost on its way to the socket"),
            ),
            _ => (Outcome::Aborted, None),
        }
    }

    fn turn(&self) {
        let elapsed = u64::try_from(self.born.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.turned.store(elapsed, Ordering::Relaxed);
    }
}

impl Drop for Owed {
    fn drop(&mut self) {
        self.0.turn();
        self.0.owed.fetch_sub(1, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_mins(1);

    fn client() -> Arc<Client> {
        Client::new("[::ffff:192.0.2.7]:4000".parse().unwrap(), "[::1]:8080".parse().unwrap(), false, PATIENCE)
    }

    fn silent_after(client: &Client, wait: Duration) -> bool {
        client.silent_at(Instant::now() + wait).is_none()
    }

    #[test]
    fn an_ipv4_client_has_its_own_address() {
        assert_eq!(client().peer.to_string(), "192.0.2.7:4000");
    }

    #[test]
    fn a_client_that_asks_nothing_is_silent() {
        let client = client();
        assert!(!silent_after(&client, PATIENCE / 2));
        assert!(silent_after(&client, PATIENCE));
    }

    #[test]
    fn a_server_that_owes_waits_for_itself() {
        let client = client();
        let (head, body) = (client.owe(), client.owe());
        assert!(!silent_after(&client, PATIENCE * 10));
        drop(head);
        assert!(!silent_after(&client, PATIENCE * 10));
        drop(body);
        assert!(silent_after(&client, PATIENCE * 10));
    }

    #[test]
    fn a_full_socket_is_the_clients_turn_whatever_is_owed() {
        let client = client();
        let _body = client.owe();
        client.block();
        assert!(silent_after(&client, PATIENCE * 2));
        client.took();
        assert!(!silent_after(&client, PATIENCE * 2));
    }

    #[test]
    fn the_end_decides_how_cut_transfers_are_counted() {
        let client = client();
        assert_eq!(client.verdict().0, Outcome::Aborted);
        client.end(End::Silence);
        assert_eq!(client.verdict().0, Outcome::Timeout);
        client.end(End::Stop);
        assert_eq!(client.verdict().0, Outcome::Refused);
        client.end(End::Unreadable);
        assert_eq!(client.verdict().0, Outcome::OriginFailed);
    }
}
