//! The TFTP server: RFC 1350 with the options of RFC 2347 to 2349 and 7440. It knows no HTTP, nothing of where bytes
//! come from but the depot, and nothing of scripts but who makes them.
//!
//! A datagram's way: `socket` and `batch` take it from the kernel, and its `port` gives it to the `running` transfer it
//! belongs to or to the `desk`, which refuses a request or has it opened (`opening`) where its name means
//! something (`content`). The state machine of a `transfer`
//! says which blocks to send, its `feed` has their bytes, and the port sends the answers of all transfers at once. A
//! `worker` is a thread that does this for several ports.

mod alarms;
// Public for the load generator in benches/, which must not be slower than what it measures.
#[doc(hidden)]
pub mod batch;
mod content;
mod desk;
mod feed;
mod mailbox;
mod mtu;
mod netascii;
mod opening;
mod options;
pub mod packet;
mod port;
mod rtt;
mod running;
mod seats;
mod server;
mod settings;
mod socket;
mod transfer;
mod worker;

pub use content::Base;
pub use packet::Packet;
pub use server::{Pulse, TftpError, TftpServer};
pub use settings::TftpSettings;

#[cfg(test)]
mod tests;
