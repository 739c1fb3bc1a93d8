//! What the room needs of the settings file, resolved.

use std::collections::HashMap;
use std::net::Ipv4Addr;

use super::firmware::Firmware;

/// Where and with what firmware is answered.
#[derive(Debug, Clone)]
pub struct DhcpSettings {
    /// The network interface to hear and to answer on.
    pub interface: String,
    /// Whether to take what relays send to this machine's own address.
    pub relays: bool,
    /// The boot files.
    pub firmware: Firmware,
    /// TFTP names that are not asset names, and the asset they mean: a host's own boot file may be one of them.
    pub files: HashMap<String, String>,
    /// The base of URLs, without a slash at its end. None: `http://`, the address on the interface, and `http_port`.
    pub advertise: Option<String>,
    /// The port of the plain HTTP listener.
    pub http_port: u16,
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

/// The base of URLs of a plain HTTP server. HTTP's own port is left out: GRUB before 2.12 takes `ADDRESS:PORT` for a name
/// that it cannot resolve.
pub fn plain_base(address: Ipv4Addr, port: u16) -> String {
    if port == 80 { format!("http://{address}") } else { format!("http://{address}:{port}") }
}
