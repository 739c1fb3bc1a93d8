//! The resolved settings of the TFTP server.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use crate::address_share::ShareSettings;

/// The resolved settings of the TFTP server.
#[derive(Debug, Clone)]
pub struct TftpSettings {
    /// Addresses to listen on for requests.
    pub listen: Vec<SocketAddr>,
    /// The largest block size granted, in bytes (RFC 2348 allows 8 to 65464).
    pub max_blksize: u16,
    /// The largest window granted, in blocks (RFC 7440 allows 1 to 65535).
    pub max_windowsize: u16,
    /// Send every packet from the request port, for networks that let nothing else through.
    pub single_port: bool,
    /// Transfers at a time. A request beyond that gets ERROR 0.
    pub max_transfers: usize,
    /// The longest wait before the first retransmit while the round trip time is not known.
    pub timeout: Duration,
    /// Retransmits without an answer after which the transfer ends.
    pub retries: u32,
    /// How long a request may wait for the first byte of an asset that is not cached.
    pub first_byte_deadline: Duration,
    /// Requested file names that are not asset names, and the asset each refers to.
    pub files: HashMap<String, String>,
    /// How much of the limit on transfers one client may use.
    pub shares: ShareSettings,
}
