//! What all DHCP servers are told: where this server is, and which firmware gets which file.

use std::io;
use std::net::{IpAddr, Ipv4Addr};

use crate::config::Config;
use crate::dhcp::{Firmware, Network, plain_base};

/// This server, as machines see it.
#[derive(Debug)]
pub(super) struct Site {
    /// Its address, for TFTP.
    pub(super) address: Ipv4Addr,
    /// The base of its URLs.
    pub(super) base: String,
    /// The boot files.
    pub(super) firmware: Firmware,
}

impl Site {
    pub(super) fn of(config: &Config, address: Ipv4Addr) -> Self {
        let port = config.http.listen.first().map_or(80, std::net::SocketAddr::port);
        let base = config.http.advertise.clone().unwrap_or_else(|| plain_base(address, port));
        Self { address, base, firmware: config.firmware.clone() }
    }

    /// The entry script, for iPXE.
    pub(super) fn script(&self) -> String {
        format!("{}/boot.ipxe", self.base)
    }
}

/// Which address of this machine to name is in doubt.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("which address do machines reach this server at? Say so with --address; this machine has {}", list(.0))]
pub(super) struct Doubt(Vec<Ipv4Addr>);

fn list(addresses: &[Ipv4Addr]) -> String {
    let texts: Vec<_> = addresses.iter().map(ToString::to_string).collect();
    if texts.is_empty() { "none but the loopback's".to_owned() } else { texts.join(", ") }
}

/// The address to name where nobody said: that of `[dhcp] interface`, else the one that `[tftp]` or `[http]` listens on,
/// else this machine's only one.
pub(super) fn here(
    config: &Config,
    all: &[Network],
    on: impl Fn(&str) -> io::Result<Vec<Network>>,
) -> Result<Ipv4Addr, Doubt> {
    let interface = config.dhcp.as_ref().and_then(|dhcp| on(&dhcp.interface).ok()?.first().copied());
    let listened = config.tftp.listen.iter().chain(&config.http.listen).find_map(|listen| match listen.ip() {
        IpAddr::V4(address) if !address.is_unspecified() && !address.is_loopback() => Some(address),
        _ => None,
    });
    let only = match all {
        [only] => Some(only.address),
        _ => None,
    };
    let found = interface.map(|network| network.address).or(listened).or(only);
    found.ok_or_else(|| Doubt(all.iter().map(|network| network.address).collect()))
}
