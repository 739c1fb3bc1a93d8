//! The HTTP server. It knows nothing of TFTP, and gets all bytes from the depot.
//!
//! `server` binds the listeners and hands them to the room `transport`, which calls `service` for each request. `service`
//! routes the request by its `path`: `asset_handler` answers with bytes of the depot, `boot_handler` with scripts and host
//! files. `body` streams the bytes and counts what the socket accepted.

mod asset_handler;
mod body;
mod boot_handler;
mod conditional;
mod error;
mod index;
mod multipart;
mod path;
pub mod range;
mod response;
mod server;
mod service;
mod settings;
mod stall;
mod sums;

pub use error::HttpError;
pub use server::HttpServer;
pub use settings::{HttpSettings, TlsSettings, plain_port};

#[cfg(test)]
pub(crate) mod tests;
