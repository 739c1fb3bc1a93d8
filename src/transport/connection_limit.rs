//! The limit on connections of a listener: in total, for one address and for one subnet.

use std::net::IpAddr;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::address_share::{AddressShares, Refusals, ShareSettings};

/// Further connections, only for requests that are always answered (probes, clients with a token) and for refusals of the others.
const RESERVED: usize = 64;

/// The limit on connections of the listeners that share it.
pub(crate) struct ConnectionLimit {
    ordinary: Mutex<AddressShares>,
    reserved: Mutex<AddressShares>,
    refusals: Refusals,
}

/// The place of one connection. Dropping it frees the place.
pub(super) struct Place {
    limit: Arc<ConnectionLimit>,
    peer: IpAddr,
    /// Whether the limit is reached, so that only requests that are always answered are served.
    pub(super) is_reserved: bool,
}

impl ConnectionLimit {
    /// At most `connections` at a time. `name` is that in metrics and logs.
    pub(crate) fn new(name: &'static str, connections: usize, shares: &ShareSettings) -> Arc<Self> {
        let shares = |limit| Mutex::new(AddressShares::new(limit, shares.clone()));
        Arc::new(Self { ordinary: shares(connections), reserved: shares(RESERVED), refusals: Refusals::new(name) })
    }

    /// Returns the place of a new connection; `None` if there is not even a reserved one.
    pub(super) fn place(self: &Arc<Self>, peer: IpAddr) -> Option<Place> {
        let taken = self.ordinary.lock().take(peer);
        let is_reserved = taken.is_err();
        if let Err(scope) = taken {
            self.refusals.record(scope, peer.to_canonical());
            self.reserved.lock().take(peer).ok()?;
        }
        Some(Place { limit: Arc::clone(self), peer, is_reserved })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let shares = if self.is_reserved { &self.limit.reserved } else { &self.limit.ordinary };
        shares.lock().give_back(self.peer);
    }
}
