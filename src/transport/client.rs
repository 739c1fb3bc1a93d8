//! One connected client: its addresses, and whether it has exceeded the idle timeout. It knows no requests.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// One connected client, shared by its socket, its responses and its idle timer.
///
/// A client is idle while the server waits for it: for a whole request, or for room in the socket or in a flow-control
/// window. While it is the server's turn to produce bytes (a slow origin), the client is not idle. This one rule covers
/// requests that trickle in, idle keep-alive connections, and clients that stopped reading. It needs one timer a
/// connection, which traffic never resets.
pub(crate) struct Client {
    /// The client's address; an IPv4 client of a dual-stack listener has its IPv4 address.
    pub(crate) peer: SocketAddr,
    /// The address of this server that the client connected to; IPv4 as IPv4.
    pub(crate) local: SocketAddr,
    /// Whether the connection uses TLS.
    pub(crate) secure: bool,
    idle_timeout: Duration,
    connected_at: Instant,
    /// When the client last made progress, or last became the one to act: milliseconds since `connected_at`.
    turn_since: AtomicU64,
    /// Responses, or pieces of them, that the server is producing.
    server_turns: AtomicUsize,
    /// Whether the last write found no room in the socket.
    write_blocked: AtomicBool,
    close_reason: AtomicU8,
}

/// Why a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum CloseReason {
    /// The client closed it, or all went well.
    Client,
    /// The client exceeded the idle timeout.
    IdleTimeout,
    /// The server stopped, and the grace period ended.
    Shutdown,
    /// A page of a mapped file could not be read while it was sent.
    Unreadable,
}

/// Suspends the idle timeout of a client while the server produces the next bytes.
pub(crate) struct ServerTurn(Arc<Client>);

impl Client {
    /// Creates the state of a client that has just connected.
    pub(crate) fn new(peer: SocketAddr, local: SocketAddr, secure: bool, idle_timeout: Duration) -> Arc<Self> {
        let canonical = |address: SocketAddr| SocketAddr::new(address.ip().to_canonical(), address.port());
        Arc::new(Self {
            peer: canonical(peer),
            local: canonical(local),
            secure,
            idle_timeout,
            connected_at: Instant::now(),
            turn_since: AtomicU64::new(0),
            server_turns: AtomicUsize::new(0),
            write_blocked: AtomicBool::new(false),
            close_reason: AtomicU8::new(CloseReason::Client as u8),
        })
    }

    /// Suspends the idle timeout until the guard is dropped, unless the socket has no room for a write.
    pub(crate) fn begin_server_turn(self: &Arc<Self>) -> ServerTurn {
        self.server_turns.fetch_add(1, Ordering::Relaxed);
        ServerTurn(Arc::clone(self))
    }

    /// Records that the socket accepted some bytes.
    pub(super) fn wrote(&self) {
        self.write_blocked.store(false, Ordering::Relaxed);
        self.begin_client_turn();
    }

    /// Records that the socket has no room for a write.
    pub(super) fn set_write_blocked(&self) {
        if !self.write_blocked.swap(true, Ordering::Relaxed) {
            self.begin_client_turn();
        }
    }

    /// Returns whether the socket had no room at the last write.
    pub(super) fn is_write_blocked(&self) -> bool {
        self.write_blocked.load(Ordering::Relaxed)
    }

    /// Returns when to check the idle timeout again; `None` if the client has exceeded it.
    pub(super) fn idle_deadline(&self, now: Instant) -> Option<Instant> {
        // Pairs with the drop of `ServerTurn`: a reader that sees no server turn also sees when the last one ended.
        let servers_turn = self.server_turns.load(Ordering::Acquire) > 0 && !self.is_write_blocked();
        let since = self.connected_at + Duration::from_millis(self.turn_since.load(Ordering::Relaxed));
        let deadline = if servers_turn { now } else { since } + self.idle_timeout;
        if deadline > now { Some(deadline) } else { None }
    }

    /// Records why the server is about to end the connection, for the log lines of the transfers that this ends.
    pub(super) fn set_close_reason(&self, reason: CloseReason) {
        self.close_reason.store(reason as u8, Ordering::Relaxed);
    }

    /// Returns why the connection ends; [`CloseReason::Client`] unless the server decided otherwise.
    pub(crate) fn close_reason(&self) -> CloseReason {
        let stored = self.close_reason.load(Ordering::Relaxed);
        let known = [CloseReason::IdleTimeout, CloseReason::Shutdown, CloseReason::Unreadable];
        known.into_iter().find(|reason| *reason as u8 == stored).unwrap_or(CloseReason::Client)
    }

    fn begin_client_turn(&self) {
        let elapsed = u64::try_from(self.connected_at.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.turn_since.store(elapsed, Ordering::Relaxed);
    }
}

impl Drop for ServerTurn {
    fn drop(&mut self) {
        self.0.begin_client_turn();
        self.0.server_turns.fetch_sub(1, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDLE_TIMEOUT: Duration = Duration::from_mins(1);

    fn client() -> Arc<Client> {
        Client::new("[::ffff:192.0.2.7]:4000".parse().unwrap(), "[::1]:8080".parse().unwrap(), false, IDLE_TIMEOUT)
    }

    fn timed_out_after(client: &Client, wait: Duration) -> bool {
        client.idle_deadline(Instant::now() + wait).is_none()
    }

    #[test]
    fn mapped_ipv4_peer_is_canonical() {
        assert_eq!(client().peer.to_string(), "192.0.2.7:4000");
    }

    #[test]
    fn idle_client_times_out() {
        let client = client();
        assert!(!timed_out_after(&client, IDLE_TIMEOUT / 2));
        assert!(timed_out_after(&client, IDLE_TIMEOUT));
    }

    #[test]
    fn server_turn_suspends_idle_timeout() {
        let client = client();
        let (head, body) = (client.begin_server_turn(), client.begin_server_turn());
        assert!(!timed_out_after(&client, IDLE_TIMEOUT * 10));
        drop(head);
        assert!(!timed_out_after(&client, IDLE_TIMEOUT * 10));
        drop(body);
        assert!(timed_out_after(&client, IDLE_TIMEOUT * 10));
    }

    #[test]
    fn blocked_write_resumes_idle_timeout() {
        let client = client();
        let _body = client.begin_server_turn();
        client.set_write_blocked();
        assert!(timed_out_after(&client, IDLE_TIMEOUT * 2));
        client.wrote();
        assert!(!timed_out_after(&client, IDLE_TIMEOUT * 2));
    }

    #[test]
    fn last_close_reason_is_kept() {
        let client = client();
        assert_eq!(client.close_reason(), CloseReason::Client);
        for reason in [CloseReason::IdleTimeout, CloseReason::Shutdown, CloseReason::Unreadable, CloseReason::Client] {
            client.set_close_reason(reason);
            assert_eq!(client.close_reason(), reason);
        }
    }
}
