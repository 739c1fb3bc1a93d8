//! `bootdepot dhcp-config`: what to write into the settings of a DHCP server that names the boot files itself.

mod dnsmasq;
mod isc;
mod kea;
mod opnsense;
mod site;
#[cfg(test)]
mod tests;

use std::net::Ipv4Addr;
use std::process::ExitCode;

use super::usage_error::UsageError;
use super::{print, say};
use crate::app;
use crate::config::Flags;
use crate::dhcp::interface_addresses;
use site::{Site, here, nobody_there, unknown_hosts};

/// Print settings for your own DHCP server
///
/// For those who leave `[dhcp] mode` at `off` and let their DHCP server send machines here. The addresses and the boot files
/// are those of the settings: a kind of firmware is left out whose file in `[dhcp.nbp]` is neither a key of `[tftp.files]`
/// nor an asset. A host with an `nbp` gets its own boot file, by its MAC addresses.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  bootdepot dhcp-config dnsmasq > /etc/dnsmasq.d/bootdepot.conf\n  bootdepot dhcp-config kea --address 10.0.0.5"
)]
pub struct DhcpConfigCommand {
    /// The DHCP server
    server: Server,
    /// The address at which machines reach this server; without it, the one that the settings or this machine's network
    /// interfaces leave no doubt about
    #[arg(long)]
    address: Option<Ipv4Addr>,
    #[command(flatten)]
    flags: Flags,
}

/// A DHCP server that settings can be printed for.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Server {
    /// A file for /etc/dnsmasq.d
    Dnsmasq,
    /// JSON to merge into kea-dhcp4.conf
    Kea,
    /// Lines for the dhcpd.conf of ISC dhcpd
    Isc,
    /// Form fields and values
    Opnsense,
}

impl DhcpConfigCommand {
    /// Runs it, printing to standard output; says on standard error what is missing.
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let config = app::load_strict(&self.flags).await.map_err(UsageError::new)?;
        let address = match self.address {
            Some(address) => address,
            None => here(&config, &interface_addresses(None)?, |interface| interface_addresses(Some(interface)))
                .map_err(UsageError::new)?,
        };
        let site = Site::of(&config, address).map_err(UsageError::new)?;
        if site.firmware.iter().next().is_none() {
            say(format_args!(
                "bootdepot: no file of [dhcp.nbp] is a key of [tftp.files] or an asset, so only iPXE finds its way here"
            ));
        }
        for trouble in nobody_there(&config, address).into_iter().chain(unknown_hosts(&site)) {
            say(format_args!("bootdepot: {trouble}"));
        }
        let printed = match self.server {
            Server::Dnsmasq => dnsmasq::settings(&site),
            Server::Kea => kea::settings(&site),
            Server::Isc => isc::settings(&site),
            Server::Opnsense => opnsense::settings(&site),
        };
        print(&printed)?;
        Ok(ExitCode::SUCCESS)
    }
}
