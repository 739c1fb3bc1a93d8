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
    /// Whether the neighbour table has it, and not only the word of a client.
    proven: bool,
}

impl Bindings {
    /// Returns the MAC at this address; `None` if it is unknown.
    pub(super) fn mac_of(&self, address: IpAddr, at: Timestamp) -> Option<Mac> {
        self.by_address.get(&address).filter(|binding| at < binding.until).map(|binding| binding.mac)
    }

    /// Whether the neighbour table has the MAC of this address.
    pub(super) fn is_proven(&self, address: IpAddr, at: Timestamp) -> bool {
        self.by_address.get(&address).is_some_and(|binding| binding.proven && at < binding.until)
    }

    /// A script for this MAC was sent to the address, which the machine boots from now: other addresses that only a script
    /// bound to the MAC are free.
    pub(super) fn by_script(&mut self, address: IpAddr, mac: Mac, at: Timestamp) {
        self.by_address.retain(|other, binding| *other == address || binding.mac != mac || binding.proven);
        self.bind(address, mac, later(at, BY_SCRIPT), false);
    }

    /// The neighbour table has this MAC for the address.
    pub(super) fn by_neighbour(&mut self, address: IpAddr, mac: Mac, at: Timestamp) {
        self.bind(address, mac, later(at, BY_NEIGHBOUR), true);
    }

    /// Removes the bindings to this MAC.
    pub(super) fn forget(&mut self, mac: Mac) {
        self.by_address.retain(|_, binding| binding.mac != mac);
    }

    fn bind(&mut self, address: IpAddr, mac: Mac, until: Timestamp, proven: bool) {
        if self.by_address.len() >= MAX_BINDINGS
            && !self.by_address.contains_key(&address)
            && let Some(first) =
                self.by_address.iter().min_by_key(|(_, binding)| binding.until).map(|(first, _)| *first)
        {
            self.by_address.remove(&first);
        }
        self.by_address.insert(address, Binding { mac, until, proven });
    }
}

/// Returns the time `pause` after `at`, or `at` if that is out of range.
fn later(at: Timestamp, pause: SignedDuration) -> Timestamp {
    at.saturating_add(pause).unwrap_or(at)
}
