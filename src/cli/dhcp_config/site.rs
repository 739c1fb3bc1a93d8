//! Values for every DHCP server: the address of this server, and the network boot program of each kind of firmware.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use crate::boot::{Host, Mac};
use crate::config::Config;
use crate::dhcp::{InterfaceAddress, Nbp, NbpTable, plain_base};
use crate::http::plain_port;

/// This server, as machines see it.
#[derive(Debug)]
pub(super) struct Site {
    /// Its address, for TFTP.
    pub(super) address: Ipv4Addr,
    /// The base of its URLs.
    pub(super) base: String,
    /// The boot files.
    pub(super) firmware: NbpTable,
    /// The hosts with a boot file of their own.
    pub(super) hosts: Vec<HostNbp>,
}

/// A host with a boot file of its own.
#[derive(Debug)]
pub(super) struct HostNbp {
    /// Its name.
    pub(super) name: String,
    /// The MAC addresses by which a DHCP server knows it; empty if it is matched by other keys only.
    pub(super) macs: Vec<Mac>,
    /// Its boot file.
    pub(super) nbp: Nbp,
}

impl Site {
    pub(super) fn of(config: &Config, address: Ipv4Addr) -> Result<Self, Doubt> {
        let base = match (&config.http.advertise, plain_port(&config.http.listen, Some(address.into()))) {
            (Some(base), _) => base.clone(),
            (None, 0) => return Err(Doubt::Port),
            (None, port) => plain_base(address, port),
        };
        Ok(Self { address, base, firmware: config.firmware.clone(), hosts: host_nbps(config) })
    }

    /// The hosts with a boot file of their own that a DHCP server can recognise.
    pub(super) fn known_hosts(&self) -> impl Iterator<Item = &HostNbp> {
        self.hosts.iter().filter(|host| !host.macs.is_empty())
    }

    /// The entry script, for iPXE.
    pub(super) fn script(&self) -> String {
        format!("{}/boot.ipxe", self.base)
    }
}

fn host_nbps(config: &Config) -> Vec<HostNbp> {
    let of = |host: &Arc<Host>| {
        let file = host.nbp.clone()?;
        let asset = config.tftp.files.get(&file).unwrap_or(&file).clone();
        Some(HostNbp { name: host.name.clone(), macs: host.keys.macs.clone(), nbp: Nbp { file, asset } })
    };
    config.roster.hosts().iter().filter_map(of).collect()
}

/// The hosts whose boot file no DHCP server can know, one sentence each.
pub(super) fn unknown_hosts(site: &Site) -> Vec<String> {
    let unknown = site.hosts.iter().filter(|host| host.macs.is_empty());
    let sentence = |host: &HostNbp| {
        format!(
            "the nbp of the host {} is left out: a DHCP server knows machines by their MAC address, and its match has none",
            host.name
        )
    };
    unknown.map(sentence).collect()
}

/// Reasons why machines could not reach this server at `address`, one sentence each.
pub(super) fn nobody_there(config: &Config, address: Ipv4Addr) -> Vec<String> {
    let hears = |listen: &SocketAddr| match listen.ip() {
        // One on every address of IPv6 takes IPv4 along.
        ip if ip.is_unspecified() => true,
        IpAddr::V4(ip) => ip == address,
        IpAddr::V6(ip) => ip.to_ipv4_mapped() == Some(address),
    };
    let list = |all: &[SocketAddr]| all.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let (tftp, http) = (&config.tftp.listen, &config.http.listen);
    let mut said = Vec::new();
    if !tftp.iter().any(hears) {
        said.push(format!("nobody hears TFTP at {address}: tftp.listen is {}", list(tftp)));
    } else if !tftp.iter().any(|listen| hears(listen) && listen.port() == 69) {
        said.push(format!("firmware asks for its boot file at port 69 alone, and tftp.listen is {}", list(tftp)));
    }
    // A different advertised base means a proxy in between.
    if config.http.advertise.is_none() && !http.iter().any(hears) {
        said.push(format!("nobody hears HTTP at {address}: http.listen is {}", list(http)));
    }
    said
}

/// Where machines reach this server is in doubt.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Doubt {
    /// At which of these addresses.
    #[error("which address do machines reach this server at? Say so with --address; this machine has {}", list(.0))]
    Address(Vec<Ipv4Addr>),
    /// At which port.
    #[error(
        "http.listen leaves the port to the system; set one, or http.advertise, so that machines can be sent there"
    )]
    Port,
}

fn list(addresses: &[Ipv4Addr]) -> String {
    let texts: Vec<_> = addresses.iter().map(ToString::to_string).collect();
    if texts.is_empty() { "none but the loopback's".to_owned() } else { texts.join(", ") }
}

/// The default address: that of `[dhcp] interface`, else the one that `[tftp]` or `[http]` listens on,
/// else this machine's only one.
pub(super) fn here(
    config: &Config,
    all: &[InterfaceAddress],
    on: impl Fn(&str) -> io::Result<Vec<InterfaceAddress>>,
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
    found.ok_or_else(|| Doubt::Address(all.iter().map(|network| network.address).collect()))
}
