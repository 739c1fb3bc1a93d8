//! The proxyDHCP server (PXE 2.1, Intel, 1999): answers PXE and UEFI HTTP Boot firmware with the name of its network boot
//! program, beside a DHCP server that assigns the addresses.
//!
//! The DHCP server knows nothing of booting and offers an address. This server answers the same broadcast with an offer
//! that has no address but a boot file name. [`reply_to`] decides, as a pure function of a [`DhcpRequest`] and a
//! [`ReplyContext`]; [`DhcpServer`] has the sockets.
//!
//! It never offers an address, and never answers a client that did not request a boot file.

mod answer_limit;
mod error;
mod interface;
mod ipxe;
mod nbp;
mod options;
mod platform;
mod reply;
mod request;
mod server;
mod settings;
mod unanswered;

pub use error::DhcpError;
pub use interface::{InterfaceAddress, interface_addresses, interfaces_with_ipv4};
pub use ipxe::IpxeFeatures;
pub use nbp::{Nbp, NbpTable};
pub use platform::Platform;
pub use reply::{Destination, DhcpReply, ReplyContext, ServerPort, reply_to};
pub use request::{ClientKind, DhcpRequest, MessageKind};
pub use server::DhcpServer;
pub use settings::{DhcpSettings, plain_base};
pub use unanswered::Unanswered;
