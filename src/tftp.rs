//! The TFTP server: RFC 1350 with the options of RFC 2347 to 2349 and RFC 7440. It knows nothing of HTTP, takes bytes
//! from the depot only, and asks the boot room for scripts.
//!
//! The path of a request: `socket` and `batch` receive it, and its `listener` passes it to the `dispatcher`. The dispatcher owns
//! the parsed `request`, starts a session in `sessions`, resolves the name to `content`, and starts a `pending_open`, which
//! binds a port for the transfer. The path of an ACK: it arrives on that port and goes to its `active_transfer`. The state
//! machine in `transfer` decides which blocks to send, its `block_buffer` holds their bytes, and `transfers`, the set of one
//! worker, sends the packets in batches. A `worker` is a thread; `messages` are what threads send each other.
//!
//! The source address of a request may be forged, so a peer counts as validated only when it acknowledges a packet. Until then
//! its session is `half_open`, it gets three packets within the `answer_limit`, and it has no `record`.

mod active_transfer;
mod answer_limit;
mod base_url;
// Public for the load generator in benches/, which must not be slower than the server that it measures.
#[doc(hidden)]
pub mod batch;
mod block_buffer;
mod content;
mod dispatcher;
mod error;
mod error_five;
mod half_open;
mod listen_address;
mod listener;
mod messages;
mod mtu;
mod netascii;
mod options;
pub mod packet;
mod pending_open;
mod record;
mod request;
mod rtt;
mod send_buffer;
mod send_error;
mod server;
mod sessions;
mod settings;
mod socket;
mod timer_queue;
mod transfer;
mod transfers;
mod wake_queue;
mod worker;

pub use base_url::BaseUrl;
pub use error::TftpError;
pub use packet::Packet;
pub use server::{LivenessCheck, TftpServer};
pub use settings::TftpSettings;

#[cfg(test)]
mod tests;
