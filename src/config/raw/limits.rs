//! `[limits]`, as operators write it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::format::Addresses;
use super::super::written::Written;

/// How much of each limit one client may use.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct Limits {
    /// Share of one IP address in each limit, in percent.
    #[schemars(range(min = 1, max = 100))]
    pub(in crate::config) per_address: u8,
    /// Share of one subnet (/24 of IPv4, /64 of IPv6) in each limit, in percent. A rack is commonly one subnet: leave room for all its
    /// machines.
    #[schemars(range(min = 1, max = 100))]
    pub(in crate::config) per_prefix: u8,
    /// Addresses and networks that stand for many machines, such as proxies and address translation. They have no share: only the
    /// limit itself applies. Loopback addresses have a share like others: name a proxy on this machine too.
    pub(in crate::config) trusted: Vec<Written<Addresses>>,
}

impl Default for Limits {
    fn default() -> Self {
        Self { per_address: 25, per_prefix: 75, trusted: Vec::new() }
    }
}
