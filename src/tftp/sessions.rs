//! The session table: the last read request of each peer and its state, within limits on sessions in all and per address.
//! It knows neither sockets nor packets.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::request::ReadRequest;

/// Sessions that one address may have: enough for a rack behind one NAT address, and one address cannot take them all.
const MAX_PER_ADDRESS: usize = 1024;

/// All sessions of a server.
pub(super) struct SessionTable {
    max_sessions: usize,
    state: Mutex<TableState>,
    /// Notified when the last session ends.
    emptied: Notify,
    /// Parent of the tokens that cancel pending opens.
    closing: CancellationToken,
}

#[derive(Default)]
struct TableState {
    count: usize,
    by_address: HashMap<IpAddr, usize>,
    by_peer: HashMap<SocketAddr, ExistingSession>,
    last_id: u64,
}

/// The state of a peer's last request.
#[derive(Debug, Clone)]
pub(super) enum SessionState {
    /// The asset is being opened; the token cancels that.
    Opening(CancellationToken),
    /// The transfer runs on the data port with this index.
    Active(usize),
}

/// The last request of a peer that still has a session.
#[derive(Debug, Clone)]
pub(super) struct ExistingSession {
    /// The session id.
    pub(super) id: u64,
    /// The request.
    pub(super) request: Arc<ReadRequest>,
    /// Its state.
    pub(super) state: SessionState,
}

/// Why a session is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum LimitError {
    /// The server has its maximum of sessions.
    #[error("the server has too many transfers; try again later")]
    Server,
    /// The peer's address has its maximum of sessions.
    #[error("this address has too many transfers; try again later")]
    Address,
}

/// One session. It ends when dropped.
pub(super) struct Session {
    table: Arc<SessionTable>,
    peer: SocketAddr,
    id: u64,
    cancelled: CancellationToken,
}

impl SessionTable {
    /// An empty table for at most `max_sessions`.
    pub(super) fn new(max_sessions: usize) -> Arc<Self> {
        Arc::new(Self {
            max_sessions,
            state: Mutex::default(),
            emptied: Notify::new(),
            closing: CancellationToken::new(),
        })
    }

    /// Starts a session for `request`, which becomes the last request of `peer`.
    pub(super) fn start(self: &Arc<Self>, peer: SocketAddr, request: Arc<ReadRequest>) -> Result<Session, LimitError> {
        let mut state = self.state.lock();
        if state.count >= self.max_sessions {
            return Err(LimitError::Server);
        }
        let of_address = state.by_address.entry(peer.ip().to_canonical()).or_default();
        if *of_address >= MAX_PER_ADDRESS {
            return Err(LimitError::Address);
        }
        *of_address += 1;
        state.count += 1;
        state.last_id += 1;
        let (id, cancelled) = (state.last_id, self.closing.child_token());
        let session = ExistingSession { id, request, state: SessionState::Opening(cancelled.clone()) };
        state.by_peer.insert(peer, session);
        Ok(Session { table: Arc::clone(self), peer, id, cancelled })
    }

    /// The last request of `peer`, if it still has a session.
    pub(super) fn find(&self, peer: SocketAddr) -> Option<ExistingSession> {
        self.state.lock().by_peer.get(&peer).cloned()
    }

    /// Cancels all pending opens, present and future.
    pub(super) fn cancel_opens(&self) {
        self.closing.cancel();
    }

    /// Waits until there are no sessions.
    pub(super) async fn wait_until_empty(&self) {
        let mut emptied = std::pin::pin!(self.emptied.notified());
        loop {
            // Enabled before the check, so that no notification falls between.
            emptied.as_mut().enable();
            if self.state.lock().count == 0 {
                return;
            }
            emptied.as_mut().await;
            emptied.set(self.emptied.notified());
        }
    }
}

impl Session {
    /// The session id, unique within the table.
    pub(super) fn id(&self) -> u64 {
        self.id
    }

    /// The peer.
    pub(super) fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// Cancelled when the request is given up while its asset is being opened.
    pub(super) fn cancelled(&self) -> &CancellationToken {
        &self.cancelled
    }

    /// Marks the session active on data port `port` and calls `hand_over` under the same lock, so that the port has the
    /// transfer before any other thread sees the session as active. Returns the session if it was cancelled before that.
    pub(super) fn activate(self, port: usize, hand_over: impl FnOnce(Self)) -> Result<(), Self> {
        let table = Arc::clone(&self.table);
        let mut state = table.state.lock();
        if self.cancelled.is_cancelled() {
            drop(state);
            return Err(self);
        }
        if let Some(session) = state.by_peer.get_mut(&self.peer)
            && session.id == self.id
        {
            session.state = SessionState::Active(port);
        }
        hand_over(self);
        Ok(())
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let mut state = self.table.state.lock();
        state.count -= 1;
        let address = self.peer.ip().to_canonical();
        if let Some(count) = state.by_address.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                state.by_address.remove(&address);
            }
        }
        if state.by_peer.get(&self.peer).is_some_and(|session| session.id == self.id) {
            state.by_peer.remove(&self.peer);
        }
        if state.count == 0 {
            self.table.emptied.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::packet::Packet;
    use super::*;

    fn request() -> Arc<ReadRequest> {
        match Packet::parse(b"\0\x01f\0octet\0") {
            Ok(Packet::Read(request)) => Arc::new(request.into()),
            other => panic!("{other:?}"),
        }
    }

    fn peer(port: u16) -> SocketAddr {
        ([10, 0, 0, 1], port).into()
    }

    #[test]
    fn address_limit_leaves_others_free() {
        let table = SessionTable::new(MAX_PER_ADDRESS + 1);
        let held: Vec<_> = (1..=1024).map(|port| table.start(peer(port), request()).unwrap()).collect();
        assert_eq!(table.start(peer(2000), request()).err(), Some(LimitError::Address));
        let other = table.start(([10, 0, 0, 2], 1).into(), request()).unwrap();
        assert_eq!(table.start(([10, 0, 0, 3], 1).into(), request()).err(), Some(LimitError::Server));
        drop((held, other));
        assert!(table.start(peer(2000), request()).is_ok());
    }

    #[test]
    fn older_session_end_keeps_newer() {
        let table = SessionTable::new(10);
        let older = table.start(peer(1), request()).unwrap();
        let newer = table.start(peer(1), request()).unwrap();
        drop(older);
        assert_eq!(table.find(peer(1)).map(|session| session.id), Some(newer.id()));
        drop(newer);
        assert!(table.find(peer(1)).is_none());
    }

    #[test]
    fn cancelled_session_is_not_activated() {
        let table = SessionTable::new(10);
        let (active, cancelled) = (table.start(peer(1), request()).unwrap(), table.start(peer(2), request()).unwrap());
        let mut handed_over = None;
        assert!(active.activate(3, |session| handed_over = Some(session)).is_ok());
        assert!(matches!(table.find(peer(1)).unwrap().state, SessionState::Active(3)));
        table.cancel_opens();
        assert!(cancelled.activate(3, |_| panic!("it was cancelled")).is_err());
        assert!(table.find(peer(2)).is_none());
    }
}
