//! The session table: the last read requests of each peer and their state. Half-open sessions, whose peer has not answered,
//! have slots of their own and take none of the transfers' slots. It knows neither sockets nor packets.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use foldhash::quality::RandomState;
use metrics::{Gauge, gauge};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::half_open::HalfOpenQueue;
use super::request::ReadRequest;
use crate::address_share::{AddressShares, Refusals, Scope, ShareSettings};

/// The numbers of sessions.
#[derive(Debug, Clone)]
pub(super) struct SessionLimits {
    /// Half-open sessions.
    pub(super) half_open: usize,
    /// Transfers to validated peers.
    pub(super) transfers: usize,
    /// The shares of one address and one prefix in both.
    pub(super) shares: ShareSettings,
}

/// All sessions of a server.
pub(super) struct SessionTable {
    state: Mutex<TableState>,
    /// Notified when the last session ends.
    emptied: Notify,
    /// Parent of the tokens that cancel pending opens.
    closing: CancellationToken,
    refusals: Refusals,
    evictions: Refusals,
}

struct TableState {
    last_id: u64,
    by_peer: HashMap<SocketAddr, PeerSessions, RandomState>,
    peers: HashMap<u64, SocketAddr, RandomState>,
    half_open: HalfOpenQueue,
    half_open_gauge: Gauge,
    transfers: AddressShares,
}

/// The sessions of one peer. A forged request of its address cannot end its transfer.
#[derive(Default)]
struct PeerSessions {
    /// The last request, which the peer has not answered yet.
    half_open: Option<ExistingSession>,
    /// The transfer whose packets the peer has acknowledged.
    transfer: Option<ExistingSession>,
}

/// The state of a session.
#[derive(Debug, Clone)]
pub(super) enum SessionState {
    /// The asset is being opened; the token cancels that.
    Opening(CancellationToken),
    /// The worker with this index has the transfer.
    Running(usize),
}

/// A request of a peer that still has a session.
#[derive(Debug, Clone)]
pub(super) struct ExistingSession {
    /// The session id.
    pub(super) id: u64,
    /// The request.
    pub(super) request: Arc<ReadRequest>,
    /// Its state.
    pub(super) state: SessionState,
}

/// A session is refused, because the transfers of this scope are all that it may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.public())]
pub(super) struct LimitError(pub(super) Scope);

impl LimitError {
    /// The message for the peer.
    pub(super) fn public(self) -> &'static str {
        match self.0 {
            Scope::Server => "the server has too many transfers; try again later",
            Scope::Address => "this address has too many transfers; try again later",
            Scope::Prefix => "this subnet has too many transfers; try again later",
        }
    }
}

/// A session whose slot went to a new one.
#[derive(Debug)]
pub(super) struct Evicted {
    /// The session.
    pub(super) session: ExistingSession,
    /// The peer itself replaced it by another request.
    pub(super) replaced: bool,
}

/// One session. It ends when dropped.
pub(super) struct Session {
    table: Arc<SessionTable>,
    peer: SocketAddr,
    id: u64,
    cancelled: CancellationToken,
}

impl SessionTable {
    /// An empty table.
    pub(super) fn new(limits: SessionLimits) -> Arc<Self> {
        let state = TableState {
            last_id: 0,
            by_peer: HashMap::default(),
            peers: HashMap::default(),
            half_open: HalfOpenQueue::new(limits.half_open, limits.shares.clone()),
            half_open_gauge: gauge!("bootdepot_tftp_half_open_transfers"),
            transfers: AddressShares::new(limits.transfers, limits.shares),
        };
        let (emptied, closing) = (Notify::new(), CancellationToken::new());
        let (refusals, evictions) = (Refusals::new("tftp-transfers"), Refusals::new("tftp-half-open"));
        Arc::new(Self { state: Mutex::new(state), emptied, closing, refusals, evictions })
    }

    /// Starts a half-open session for `request`, which becomes the last request of `peer`. Also returns the session whose slot
    /// it takes, which is no longer in the table and must be cancelled.
    ///
    /// Fails if a transfer to `peer` would be refused now.
    pub(super) fn start(
        self: &Arc<Self>,
        peer: SocketAddr,
        request: Arc<ReadRequest>,
    ) -> Result<(Session, Option<Evicted>), LimitError> {
        let address = peer.ip().to_canonical();
        let mut state = self.state.lock();
        let own = state.by_peer.get(&peer);
        // A client that starts again takes the slot of its own transfer.
        if own.is_none_or(|sessions| sessions.transfer.is_none()) {
            state.transfers.check(address).map_err(|scope| self.refused(scope, address))?;
        }
        let replaced = own.and_then(|sessions| sessions.half_open.as_ref()).map(|session| session.id);
        let evicted = match replaced {
            Some(id) => Some((id, None)),
            None => state.half_open.oldest_if_full(address).map(|(id, scope)| (id, Some(scope))),
        };
        if let Some((_, Some(scope))) = evicted {
            self.evictions.record(scope, address);
        }
        let evicted =
            evicted.and_then(|(id, scope)| Some(Evicted { session: state.remove(id)?, replaced: scope.is_none() }));
        state.last_id += 1;
        let (id, cancelled) = (state.last_id, self.closing.child_token());
        let session = ExistingSession { id, request, state: SessionState::Opening(cancelled.clone()) };
        state.by_peer.entry(peer).or_default().half_open = Some(session);
        state.peers.insert(id, peer);
        state.half_open.add(id, address);
        publish(&state.half_open_gauge, state.half_open.len());
        Ok((Session { table: Arc::clone(self), peer, id, cancelled }, evicted))
    }

    fn refused(&self, scope: Scope, address: IpAddr) -> LimitError {
        self.refusals.record(scope, address);
        LimitError(scope)
    }

    /// The last request of `peer`, if it still has a session.
    pub(super) fn find(&self, peer: SocketAddr) -> Option<ExistingSession> {
        let state = self.state.lock();
        let sessions = state.by_peer.get(&peer)?;
        sessions.half_open.as_ref().or(sessions.transfer.as_ref()).cloned()
    }

    /// The transfer of `peer`, if it is validated.
    pub(super) fn transfer(&self, peer: SocketAddr) -> Option<ExistingSession> {
        self.state.lock().by_peer.get(&peer)?.transfer.clone()
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
            if self.state.lock().peers.is_empty() {
                return;
            }
            emptied.as_mut().await;
            emptied.set(self.emptied.notified());
        }
    }
}

impl TableState {
    /// Removes a session, unless it was removed before, and returns it.
    fn remove(&mut self, id: u64) -> Option<ExistingSession> {
        let peer = self.peers.remove(&id)?;
        let address = peer.ip().to_canonical();
        let sessions = self.by_peer.get_mut(&peer)?;
        let removed = if self.half_open.remove(id, address) {
            publish(&self.half_open_gauge, self.half_open.len());
            sessions.half_open.take()
        } else {
            self.transfers.give_back(address);
            // The peer's next transfer may have taken its slot.
            sessions.transfer.take_if(|transfer| transfer.id == id)
        };
        if sessions.half_open.is_none() && sessions.transfer.is_none() {
            self.by_peer.remove(&peer);
        }
        removed
    }

    fn find_mut(&mut self, id: u64) -> Option<&mut ExistingSession> {
        let sessions = self.by_peer.get_mut(self.peers.get(&id)?)?;
        [&mut sessions.half_open, &mut sessions.transfer].into_iter().flatten().find(|session| session.id == id)
    }
}

/// Publishes the number of half-open sessions.
fn publish(gauge: &Gauge, count: usize) {
    gauge.set(f64::from(u32::try_from(count).unwrap_or(u32::MAX)));
}

impl Session {
    /// The session id, unique within the table. The first is 1.
    pub(super) fn id(&self) -> u64 {
        self.id
    }

    /// Cancelled when the request is given up while its asset is being opened.
    pub(super) fn cancelled(&self) -> &CancellationToken {
        &self.cancelled
    }

    /// Passes the session to worker `worker`: calls `hand_over` under the same lock, so that the worker has the transfer before
    /// any other thread sees it there. Returns the session if it was cancelled before that.
    pub(super) fn run_on(self, worker: usize, hand_over: impl FnOnce(Self)) -> Result<(), Self> {
        let table = Arc::clone(&self.table);
        let mut state = table.state.lock();
        let found = state.find_mut(self.id).filter(|_| !self.cancelled.is_cancelled());
        let Some(session) = found else {
            drop(state);
            return Err(self);
        };
        session.state = SessionState::Running(worker);
        hand_over(self);
        Ok(())
    }

    /// The peer has answered: moves the session to a slot of the transfers. Returns the peer's earlier transfer, which this one
    /// replaces and which must be cancelled.
    ///
    /// Fails if all those slots are taken.
    pub(super) fn validate(&self) -> Result<Option<ExistingSession>, LimitError> {
        let address = self.peer.ip().to_canonical();
        let mut guard = self.table.state.lock();
        let state = &mut *guard;
        let sessions = state.by_peer.get_mut(&self.peer);
        let Some(sessions) = sessions.filter(|_| state.half_open.remove(self.id, address)) else { return Ok(None) };
        let session = sessions.half_open.take();
        let older = sessions.transfer.take();
        if let Some(older) = &older {
            // Its slot goes to this one.
            state.peers.remove(&older.id);
            state.transfers.give_back(address);
        }
        publish(&state.half_open_gauge, state.half_open.len());
        if let Err(scope) = state.transfers.take(address) {
            state.peers.remove(&self.id);
            if sessions.half_open.is_none() {
                state.by_peer.remove(&self.peer);
            }
            return Err(self.table.refused(scope, address));
        }
        sessions.transfer = session;
        Ok(older)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let mut state = self.table.state.lock();
        state.remove(self.id);
        if state.peers.is_empty() {
            self.table.emptied.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::packet::Packet;
    use super::*;

    /// Room for 8 half-open sessions, of which one address may have 4, and for 4 transfers, of which it may have 2.
    fn limits() -> SessionLimits {
        let shares = ShareSettings { per_address: 50, per_prefix: 100, trusted: Vec::new() };
        SessionLimits { half_open: 8, transfers: 4, shares }
    }

    fn request() -> Arc<ReadRequest> {
        match Packet::parse(b"\0\x01f\0octet\0") {
            Ok(Packet::Read(request)) => Arc::new(request.into()),
            other => panic!("{other:?}"),
        }
    }

    fn peer(host: u8, port: u16) -> SocketAddr {
        ([10, 0, host, 1], port).into()
    }

    fn start(table: &Arc<SessionTable>, peer: SocketAddr) -> Session {
        table.start(peer, request()).unwrap().0
    }

    fn validated(table: &Arc<SessionTable>, peer: SocketAddr) -> Session {
        let session = start(table, peer);
        session.validate().unwrap();
        session
    }

    #[test]
    fn transfers_limited_by_address_and_server() {
        let table = SessionTable::new(limits());
        let held = [validated(&table, peer(1, 1)), validated(&table, peer(1, 2))];
        assert_eq!(table.start(peer(1, 3), request()).err(), Some(LimitError(Scope::Address)));
        let other = [validated(&table, peer(2, 1)), validated(&table, peer(2, 2))];
        assert_eq!(table.start(peer(3, 1), request()).err(), Some(LimitError(Scope::Server)));
        assert!(table.start(peer(2, 1), request()).is_ok(), "a client that starts again");
        drop((held, other));
        assert!(table.start(peer(3, 1), request()).is_ok());
    }

    #[test]
    fn prefix_limit_leaves_other_prefixes_free() {
        let shares = ShareSettings { per_prefix: 75, ..limits().shares };
        let table = SessionTable::new(SessionLimits { shares, ..limits() });
        let in_prefix = |host: u8| SocketAddr::from(([10, 0, 0, host], 1));
        let _held = [1, 2, 3].map(|host| validated(&table, in_prefix(host)));
        assert_eq!(table.start(in_prefix(4), request()).err(), Some(LimitError(Scope::Prefix)));
        validated(&table, peer(1, 1));
    }

    #[test]
    fn half_open_sessions_take_no_transfer_slot() {
        let table = SessionTable::new(SessionLimits { half_open: 100, ..limits() });
        let waiting: Vec<_> = (1..=10).map(|port| start(&table, peer(1, port))).collect();
        let other = validated(&table, peer(2, 1));
        assert_eq!((table.state.lock().half_open.len(), waiting.len()), (10, 10));
        let validated: Vec<_> = waiting.iter().map(|session| session.validate().map(|older| older.is_some())).collect();
        assert_eq!(validated[..3], [Ok(false), Ok(false), Err(LimitError(Scope::Address))]);
        drop(other);
    }

    #[test]
    fn oldest_half_open_session_is_evicted() {
        let table = SessionTable::new(limits());
        let held: Vec<_> = (1..=4).map(|port| start(&table, peer(1, port))).collect();
        let (newer, evicted) = table.start(peer(1, 5), request()).unwrap();
        let evicted = evicted.unwrap();
        assert_eq!((evicted.session.id, evicted.replaced), (held[0].id(), false));
        assert!(table.find(peer(1, 1)).is_none());
        drop(held);
        assert_eq!(table.state.lock().half_open.len(), 1);
        drop(newer);
    }

    #[test]
    fn new_request_keeps_validated_transfer() {
        let table = SessionTable::new(limits());
        let older = validated(&table, peer(1, 1));
        let (newer, evicted) = table.start(peer(1, 1), request()).unwrap();
        assert!(evicted.is_none());
        assert_eq!(table.find(peer(1, 1)).map(|session| session.id), Some(newer.id()));
        assert_eq!(newer.validate().unwrap().map(|session| session.id), Some(older.id()));
        drop(older);
        assert_eq!(table.find(peer(1, 1)).map(|session| session.id), Some(newer.id()));
        drop(newer);
        assert!(table.find(peer(1, 1)).is_none());
        assert!(table.state.lock().peers.is_empty());
    }

    #[test]
    fn cancelled_session_does_not_run() {
        let table = SessionTable::new(limits());
        let (running, cancelled) = (start(&table, peer(1, 1)), start(&table, peer(2, 2)));
        let mut handed_over = None;
        assert!(running.run_on(3, |session| handed_over = Some(session)).is_ok());
        assert!(matches!(table.find(peer(1, 1)).unwrap().state, SessionState::Running(3)));
        table.cancel_opens();
        assert!(cancelled.run_on(3, |_| panic!("it was cancelled")).is_err());
        assert!(table.find(peer(2, 2)).is_none());
    }
}
