//! Why the TFTP server cannot start.

use std::io;
use std::net::SocketAddr;

/// Why the TFTP server cannot start.
#[derive(Debug, thiserror::Error)]
pub enum TftpError {
    /// An address cannot be bound.
    #[error("cannot listen for TFTP on {address}{}", remedy(*address, .source))]
    Bind {
        /// The address.
        address: SocketAddr,
        /// The system's error.
        source: io::Error,
    },
    /// A worker thread or its wake-up descriptors cannot be created.
    #[error("cannot start a TFTP worker; raise the limits on threads and open files")]
    Resources(#[source] io::Error),
}

/// Advice about an address that cannot be bound, which ends the message; empty if the source says it all.
fn remedy(address: SocketAddr, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            format!(": another program uses UDP port {}; stop it, or set another [tftp] listen address", address.port())
        }
        io::ErrorKind::PermissionDenied => ": ports below 1024 need the capability CAP_NET_BIND_SERVICE (systemd: \
             AmbientCapabilities=); grant it, or set another [tftp] listen address"
            .to_owned(),
        io::ErrorKind::AddrNotAvailable => format!(": this machine does not have the address {}", address.ip()),
        _ => String::new(),
    }
}
