//! Who is being served: at most so many transfers at a time, in all and for one address, and which request each peer
//! made last. It knows neither sockets nor packets.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// Transfers that one address may have: a rack behind one NAT address fits, and one address cannot take all seats.
const PER_ADDRESS: usize = 1024;

/// All seats.
pub(super) struct Seats {
    most: usize,
    table: Mutex<Table>,
    /// Told when the last seat is given up.
    empty: Notify,
    /// Cancelled when openings are to be given up.
    closing: CancellationToken,
}

#[derive(Default)]
struct Table {
    taken: usize,
    by_address: HashMap<IpAddr, usize>,
    by_peer: HashMap<SocketAddr, Place>,
    next_id: u64,
}

/// The last request of a peer, and what became of it.
struct Place {
    id: u64,
    request: Box<[u8]>,
    stage: Stage,
}

/// How far a request has come.
#[derive(Debug, Clone)]
pub(super) enum Stage {
    /// The asset is being opened; cancel this to let go.
    Opening(CancellationToken),
    /// The transfer runs on the data port of this index.
    Running(usize),
}

/// A peer's request that was met before.
#[derive(Debug)]
pub(super) struct Met {
    /// The seat's id.
    pub(super) id: u64,
    /// Whether it is the same request, byte for byte.
    pub(super) same: bool,
    /// How far it has come.
    pub(super) stage: Stage,
}

/// Why there is no seat.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Full {
    /// All are taken.
    #[error("the server has as many transfers as it may; try again later")]
    Server,
    /// The peer's address has its share.
    #[error("this address has as many transfers as it may; try again later")]
    Address,
}

/// One seat, given up when dropped.
pub(super) struct Seat {
    seats: Arc<Seats>,
    peer: SocketAddr,
    id: u64,
    cancelled: CancellationToken,
}

impl Seats {
    /// `most` seats, all free.
    pub(super) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { most, table: Mutex::default(), empty: Notify::new(), closing: CancellationToken::new() })
    }

    /// Takes a seat for `request` of `peer`; from now on this is the peer's last request.
    pub(super) fn take(self: &Arc<Self>, peer: SocketAddr, request: &[u8]) -> Result<Seat, Full> {
        let mut table = self.lock();
        if table.taken >= self.most {
            return Err(Full::Server);
        }
        let of_address = table.by_address.entry(peer.ip().to_canonical()).or_default();
        if *of_address >= PER_ADDRESS {
            return Err(Full::Address);
        }
        *of_address += 1;
        table.taken += 1;
        table.next_id += 1;
        let (id, cancelled) = (table.next_id, self.closing.child_token());
        let place = Place { id, request: request.into(), stage: Stage::Opening(cancelled.clone()) };
        table.by_peer.insert(peer, place);
        Ok(Seat { seats: Arc::clone(self), peer, id, cancelled })
    }

    /// The last request of `peer` that still has a seat, compared to `request`.
    pub(super) fn met(&self, peer: SocketAddr, request: &[u8]) -> Option<Met> {
        let table = self.lock();
        let place = table.by_peer.get(&peer)?;
        Some(Met { id: place.id, same: *place.request == *request, stage: place.stage.clone() })
    }

    /// Gives up what is being opened.
    pub(super) fn close(&self) {
        self.closing.cancel();
    }

    /// Returns when no seat is taken.
    pub(super) async fn emptied(&self) {
        let mut empty = std::pin::pin!(self.empty.notified());
        loop {
            // Enabled before the look, so that no notice falls between.
            empty.as_mut().enable();
            if self.lock().taken == 0 {
                return;
            }
            empty.as_mut().await;
            empty.set(self.empty.notified());
        }
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        // The table is changed by whole steps: it is good even where a thread died holding the lock.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seat {
    /// The seat's id: no other seat ever has it.
    pub(super) fn id(&self) -> u64 {
        self.id
    }

    /// The peer that it is for.
    pub(super) fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// Cancelled when the peer's request is given up while its asset is being opened.
    pub(super) fn cancelled(&self) -> &CancellationToken {
        &self.cancelled
    }

    /// Says that the transfer runs on data port `port` from now on, and does `hand_over` in the same instant, so that
    /// who meets the running transfer can speak to its port. A seat that was given up meanwhile is handed back.
    pub(super) fn run(self, port: usize, hand_over: impl FnOnce(Self)) -> Result<(), Self> {
        let seats = Arc::clone(&self.seats);
        let mut table = seats.lock();
        if self.cancelled.is_cancelled() {
            drop(table);
            return Err(self);
        }
        if let Some(place) = table.by_peer.get_mut(&self.peer)
            && place.id == self.id
        {
            place.stage = Stage::Running(port);
        }
        hand_over(self);
        Ok(())
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut table = self.seats.lock();
        table.taken -= 1;
        let address = self.peer.ip().to_canonical();
        if let Some(count) = table.by_address.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                table.by_address.remove(&address);
            }
        }
        if table.by_peer.get(&self.peer).is_some_and(|place| place.id == self.id) {
            table.by_peer.remove(&self.peer);
        }
        if table.taken == 0 {
            self.seats.empty.notify_waiters();
        }
    }
}
