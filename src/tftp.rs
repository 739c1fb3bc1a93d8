//! The TFTP server: RFC 1350 with the options of RFC 2347 to 2349 and 7440. It knows no HTTP, and nothing of where bytes
//! come from but the depot.

mod batch;
mod mtu;
mod netascii;
mod options;
pub mod packet;
mod rtt;
mod settings;
mod transfer;

pub use packet::Packet;
pub use settings::TftpSettings;
