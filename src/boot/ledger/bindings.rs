//! Which MAC has which address, and until when that is believed.

use std::collections::HashMap;
use std::net::IpAddr;

use jiff::{SignedDuration, Timestamp};

use crate::boot::mac::Mac;

/// Stored bindings: one for each machine, with some that have several addresses. Those that expire first are dropped first.
const MAX_BINDINGS: usize = 8192;
/// How long a script binds an address to a MAC: a usual lease.
const BY_SCRIPT: SignedDuration = SignedDuration::from_hours(24);
/// How long an entry of the neighbour table binds an address to a MAC. Short, because leases change.
const BY_NEIGHBOUR: SignedDuration = SignedDuration::from_mins(1);

/// The bindings of addresses to MACs.
#[derive(Debug, Default)]
pub(super) struct Bindings {
    by_address: HashMap<IpAddr, Binding>,
}

#[derive(Debug, Clone, Copy)]
struct Binding {
    mac: Mac,
    until: Timestamp,
}

impl Bindings {
    /// Returns the MAC at this address; `None` if it is unknown.
    pub(super) fn mac_of(&self, address: IpAddr, at: Timestamp) -> Option<Mac> {
        self.by_address.get(&address).filter(|binding| at < binding.until).map(|binding| binding.mac)
    }

    /// A script for this MAC was sent to the address.
    pub(super) fn by_script(&mut self, address: IpAddr, mac: Mac, at: Timestamp) {
        self.bind(address, mac, later(at, BY_SCRIPT));
    }

    /// The neighbour table has this MAC for the address.
    pub(super) fn by_neighbour(&mut self, address: IpAddr, mac: Mac, at: Timestamp) {
        self.bind(address, mac, later(at, BY_NEIGHBOUR));
    }

    /// Removes the bindings to this MAC.
    pub(super) fn forget(&mut self, mac: Mac) {
        self.by_address.retain(|_, binding| binding.mac != mac);
    }

    fn bind(&mut self, address: IpAddr, mac: Mac, until: Timestamp) {
        if self.by_address.len() >= MAX_BINDINGS
            && !self.by_address.contains_key(&address)
            && let Some(first) =
                self.by_address.iter().min_by_key(|(_, binding)| binding.until).map(|(first, _)| *first)
        {
            self.by_address.remove(&first);
        }
        self.by_address.insert(address, Binding { mac, until });
    }
}

/// Returns the time `pause` after `at`, or `at` if that is out of range.
fn later(at: Timestamp, pause: SignedDuration) -> Timestamp {
    at.saturating_add(pause).unwrap_or(at)
}
