//! The TFTP server: RFC 1350 with the options of RFC 2347 to 2349 and RFC 7440. It knows nothing of HTTP, takes bytes
//! from the depot only, and asks the boot room for scripts.
//!
//! The path of a datagram: `socket` and `batch` receive it; its `port` passes it to the `active_transfer` that it belongs
//! to, or to the `dispatcher`. The dispatcher owns the parsed `request`, checks it against `sessions`, resolves its name
//! to `content`, and starts a `pending_open`. The state machine in `transfer` decides which blocks to send, its
//! `block_buffer` holds their bytes, and the port sends the packets of all its transfers as one batch. A `worker` is a
//! thread that runs several ports; `messages` are what threads send each other.

mod active_transfer;
mod base_url;
// Public for the load generator in benches/, which must not be slower than the server that it measures.
#[doc(hidden)]
pub mod batch;
mod block_buffer;
mod content;
mod dispatcher;
mod error;
mod messages;
mod mtu;
mod netascii;
mod options;
pub mod packet;
mod pending_open;
mod port;
mod request;
mod rtt;
mod server;
mod sessions;
mod settings;
mod socket;
mod timer_queue;
mod transfer;
mod wake_queue;
mod worker;

pub use base_url::BaseUrl;
pub use error::TftpError;
pub use packet::Packet;
pub use server::{LivenessCheck, TftpServer};
pub use settings::TftpSettings;

#[cfg(test)]
mod tests;
