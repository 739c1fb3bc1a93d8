//! The resolved settings of the proxyDHCP server.

use std::collections::HashMap;
use std::net::Ipv4Addr;

use super::nbp::NbpTable;
use crate::address_share::ShareSettings;

/// The resolved settings of the proxyDHCP server.
#[derive(Debug, Clone)]
pub struct DhcpSettings {
    /// The network interface to listen on.
    pub interface: String,
    /// Whether to accept requests that relays send to an address of this machine.
    pub relays: bool,
    /// The network boot programs.
    pub nbps: NbpTable,
    /// TFTP file names that are not asset names, and the asset each refers to: a host's own NBP may be one of them.
    pub files: HashMap<String, String>,
    /// The base of URLs, without a slash at its end. `None` stands for `http://`, the address of the interface, and
    /// `http_port`.
    pub advertise: Option<String>,
    /// The port of the plain HTTP listener.
    pub http_port: u16,
    /// How much of the limit on answers one client may use.
    pub shares: ShareSettings,
}

impl DhcpSettings {
    /// The base of URLs for a client that reaches this machine at `address`.
    pub fn base(&self, address: Ipv4Addr) -> String {
        match &self.advertise {
            Some(base) => base.clone(),
            None => plain_base(address, self.http_port),
        }
    }
}

/// The base of the URLs of a plain HTTP server. The default port 80 is left out: GRUB before 2.12 takes `ADDRESS:PORT` for
/// a host name, which it cannot resolve.
pub fn plain_base(address: Ipv4Addr, port: u16) -> String {
    if port == 80 { format!("http://{address}") } else { format!("http://{address}:{port}") }
}
