//! One connected client: its addresses, its memory, and whose turn it is. It knows no requests.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use crate::memory::{Account, MemoryBudget, StreamMemory};

/// One connected client, as one stream of its connection sees it; HTTP/1 has a single stream.
///
/// A client is idle while the server waits for it: for a whole request, or to take bytes of a response. While it is the
/// server's turn to produce bytes (a slow origin), the client is not idle. This one rule covers requests that trickle in,
/// idle keep-alive connections, and clients that stopped reading.
pub(crate) struct Client {
    /// The client's address; an IPv4 client of a dual-stack listener has its IPv4 address.
    pub(crate) peer: SocketAddr,
    /// The address of this server that the client connected to; IPv4 as IPv4.
    pub(crate) local: SocketAddr,
    /// Whether the connection uses TLS.
    pub(crate) secure: bool,
    /// The account of the stream's copied bytes, and how many the peer accepts now.
    pub(crate) memory: StreamMemory,
    connection: Arc<Connection>,
    close_reason: AtomicU8,
}

/// The state that the streams of one connection share.
struct Connection {
    connected_at: Instant,
    /// When the last turn of the server ended: milliseconds since `connected_at`.
    turn_ended: AtomicU64,
    /// Responses, or pieces of them, that the server is producing.
    server_turns: AtomicUsize,
    /// Whether the last write found no room in the socket.
    write_blocked: AtomicBool,
    /// Bytes that were written to the socket.
    socket_bytes: AtomicU64,
    /// Bytes of bodies of HTTP/2 streams that were written to the socket.
    body_bytes: AtomicU64,
    /// The first byte that the client sent; 0 until then.
    first_byte: AtomicU8,
    close_reason: AtomicU8,
}

/// Why a connection or a stream of it ended.
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
    /// Creates the state of a client that has just connected. Its bodies are charged to `memory`.
    pub(crate) fn new(peer: SocketAddr, local: SocketAddr, secure: bool, memory: &Arc<MemoryBudget>) -> Arc<Self> {
        let canonical = |address: SocketAddr| SocketAddr::new(address.ip().to_canonical(), address.port());
        Arc::new(Self {
            peer: canonical(peer),
            local: canonical(local),
            secure,
            memory: memory.account(peer.ip()).stream(usize::MAX),
            connection: Arc::new(Connection {
                connected_at: Instant::now(),
                turn_ended: AtomicU64::new(0),
                server_turns: AtomicUsize::new(0),
                write_blocked: AtomicBool::new(false),
                socket_bytes: AtomicU64::new(0),
                body_bytes: AtomicU64::new(0),
                first_byte: AtomicU8::new(0),
                close_reason: AtomicU8::new(CloseReason::Client as u8),
            }),
            close_reason: AtomicU8::new(CloseReason::Client as u8),
        })
    }

    /// The client, as a new stream of its connection sees it, whose peer accepts no bytes yet.
    pub(super) fn stream(&self) -> Arc<Self> {
        Arc::new(Self {
            peer: self.peer,
            local: self.local,
            secure: self.secure,
            memory: self.account().stream(0),
            connection: Arc::clone(&self.connection),
            close_reason: AtomicU8::new(CloseReason::Client as u8),
        })
    }

    /// The leases of the connection.
    pub(super) fn account(&self) -> &Arc<Account> {
        self.memory.account()
    }

    /// Suspends the idle timeout until the guard is dropped, unless the socket has no room for a write.
    pub(crate) fn begin_server_turn(self: &Arc<Self>) -> ServerTurn {
        self.connection.server_turns.fetch_add(1, Ordering::Relaxed);
        ServerTurn(Arc::clone(self))
    }

    /// Records that the socket accepted `bytes`.
    pub(super) fn wrote(&self, bytes: usize) {
        self.connection.write_blocked.store(false, Ordering::Relaxed);
        self.connection.socket_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Records that the socket accepted `bytes` of the body of an HTTP/2 stream.
    pub(super) fn wrote_body(&self, bytes: usize) {
        self.connection.body_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Bytes that were written to the socket.
    pub(super) fn socket_bytes(&self) -> u64 {
        self.connection.socket_bytes.load(Ordering::Relaxed)
    }

    /// Bytes of bodies of HTTP/2 streams that were written to the socket.
    pub(super) fn body_bytes(&self) -> u64 {
        self.connection.body_bytes.load(Ordering::Relaxed)
    }

    /// Records the first byte that the client sent.
    pub(super) fn set_first_byte(&self, byte: u8) {
        let _ = self.connection.first_byte.compare_exchange(0, byte, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// The first byte that the client sent; 0 until then.
    pub(super) fn first_byte(&self) -> u8 {
        self.connection.first_byte.load(Ordering::Relaxed)
    }

    /// Records that the socket has no room for a write.
    pub(super) fn set_write_blocked(&self) {
        self.connection.write_blocked.store(true, Ordering::Relaxed);
    }

    /// Returns whether the socket had no room at the last write.
    pub(super) fn is_write_blocked(&self) -> bool {
        self.connection.write_blocked.load(Ordering::Relaxed)
    }

    /// Returns whether the client waits for the server.
    pub(super) fn is_server_turn(&self) -> bool {
        // Pairs with the drop of `ServerTurn`: a reader that sees no server turn also sees when the last one ended.
        self.connection.server_turns.load(Ordering::Acquire) > 0 && !self.is_write_blocked()
    }

    /// Returns when the last turn of the server ended; when the client connected, before the first.
    pub(super) fn turn_ended(&self) -> Instant {
        self.connection.connected_at + Duration::from_millis(self.connection.turn_ended.load(Ordering::Relaxed))
    }

    /// Records why the server is about to end the connection, for the log lines of the transfers that this ends.
    pub(super) fn set_close_reason(&self, reason: CloseReason) {
        self.connection.close_reason.store(reason as u8, Ordering::Relaxed);
    }

    /// Records why the server is about to end this stream.
    pub(super) fn set_stream_close_reason(&self, reason: CloseReason) {
        self.close_reason.store(reason as u8, Ordering::Relaxed);
    }

    /// Returns why the stream or its connection ends; [`CloseReason::Client`] unless the server decided otherwise.
    pub(crate) fn close_reason(&self) -> CloseReason {
        let known = [CloseReason::IdleTimeout, CloseReason::Shutdown, CloseReason::Unreadable];
        let stored = [&self.close_reason, &self.connection.close_reason].map(|reason| reason.load(Ordering::Relaxed));
        let find = |stored| known.into_iter().find(|reason| *reason as u8 == stored);
        stored.into_iter().find_map(find).unwrap_or(CloseReason::Client)
    }
}

impl Drop for ServerTurn {
    fn drop(&mut self) {
        let connection = &self.0.connection;
        let elapsed = u64::try_from(connection.connected_at.elapsed().as_millis()).unwrap_or(u64::MAX);
        connection.turn_ended.store(elapsed, Ordering::Relaxed);
        connection.server_turns.fetch_sub(1, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client() -> Arc<Client> {
        let budget = MemoryBudget::new(1 << 20);
        Client::new("[::ffff:192.0.2.7]:4000".parse().unwrap(), "[::1]:8080".parse().unwrap(), false, &budget)
    }

    #[test]
    fn mapped_ipv4_peer_is_canonical() {
        assert_eq!(client().peer.to_string(), "192.0.2.7:4000");
    }

    #[test]
    fn server_turn_lasts_until_last_guard() {
        let client = client();
        assert!(!client.is_server_turn());
        let (head, body) = (client.begin_server_turn(), client.stream().begin_server_turn());
        drop(head);
        assert!(client.is_server_turn());
        drop(body);
        assert!(!client.is_server_turn());
    }

    #[test]
    fn blocked_write_ends_server_turn() {
        let client = client();
        let _body = client.begin_server_turn();
        client.set_write_blocked();
        assert!(!client.is_server_turn());
        client.wrote(1);
        assert!(client.is_server_turn());
    }

    #[test]
    fn last_close_reason_is_kept() {
        let client = client();
        assert_eq!(client.close_reason(), CloseReason::Client);
        for reason in [CloseReason::IdleTimeout, CloseReason::Shutdown, CloseReason::Unreadable, CloseReason::Client] {
            client.set_close_reason(reason);
            assert_eq!((client.close_reason(), client.stream().close_reason()), (reason, reason));
        }
        let stream = client.stream();
        stream.set_stream_close_reason(CloseReason::IdleTimeout);
        assert_eq!((stream.close_reason(), client.close_reason()), (CloseReason::IdleTimeout, CloseReason::Client));
    }
}
