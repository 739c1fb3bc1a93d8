//! The proxyDHCP server: tells firmware which file to boot, beside a DHCP server that gives the addresses.
//!
//! PXE 2.1 (Intel, 1999) calls it that: the DHCP server knows nothing of booting and offers an address; this server
//! answers the same broadcast with an offer that has no address and names a boot file. [`answer()`] decides, as a pure
//! function of a [`Request`] and a few [`Facts`]; [`DhcpServer`] has the sockets.
//!
//! It never offers an address, and never speaks to a client that did not ask for a boot file.

mod answer;
mod firmware;
mod network;
mod pace;
mod platform;
mod request;
mod server;
mod settings;

pub use answer::{Facts, Port, Reply, To, answer};
pub use firmware::{Firmware, Nbp};
pub use network::{Network, addresses_of};
pub use platform::Platform;
pub use request::{Client, Kind, Request};
pub use server::{DhcpError, DhcpServer};
pub use settings::{DhcpSettings, plain_base};
