//! What the room needs of the settings file, resolved.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

/// Where and how assets are served over TFTP.
#[derive(Debug, Clone)]
pub struct TftpSettings {
    /// Addresses to take requests on.
    pub listen: Vec<SocketAddr>,
    /// The largest block granted, in bytes (RFC 2348 allows 8 to 65464).
    pub max_blksize: u16,
    /// The largest window granted, in blocks (RFC 7440 allows 1 to 65535).
    pub max_windowsize: u16,
    /// Answer every packet from the request port, for networks that let nothing else through.
    pub single_port: bool,
    /// Transfers at a time; one more is answered ERROR 0.
    pub max_transfers: usize,
    /// The longest wait before the first resend while the round trip is not known yet.
    pub timeout: Duration,
    /// Resends without an answer before a peer counts as gone.
    pub retries: u32,
    /// How long a request may wait for the first byte of a cold asset.
    pub first_byte_deadline: Duration,
    /// Request names that are not asset names, and the asset they mean.
    pub files: HashMap<String, String>,
}
