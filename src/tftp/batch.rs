//! Batched UDP: one system call for many packets of many peers (`recvmmsg`, `sendmmsg`), and one message for a run of
//! packets of equal size to one peer (UDP segmentation, GSO). The only unsafe code of this room. It knows nothing of TFTP
//! but that a packet is a short header and a payload.

#![expect(unsafe_code, reason = "no dependency wraps recvmmsg, sendmmsg, the error queue and their control messages")]

mod error_queue;
mod message;
mod receive;
mod route;
mod send;

pub use self::error_queue::{DeliveryError, enable_error_queue, next_error};
pub use self::message::BATCH;
pub use self::receive::{Datagram, RecvBatch, enable_packet_info};
pub use self::route::{Route, SourceAddress};
pub use self::send::{SendBatch, SendFailure};

#[cfg(test)]
mod tests;
