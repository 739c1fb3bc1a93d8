//! The HTTP server. It knows nothing of TFTP, and nothing of where bytes come from but the depot.
//!
//! A connection's way: [`HttpServer`] accepts it, `Conduct` speaks HTTP/1 or HTTP/2 on it and ends it when its `Client`
//! falls silent, `Site` finds what a path means, `asset` answers with bytes of the depot, and `Body` counts what the
//! socket took of them.

mod admin;
mod answer;
mod api;
mod asset;
mod body;
mod boot;
mod certificate;
mod client;
mod conditional;
mod connection;
mod error;
mod listener;
mod multipart;
mod path;
pub mod range;
mod server;
mod settings;
mod site;
mod socket;
mod tls;

pub use admin::{AdminServer, Metrics};
pub use error::HttpError;
pub use server::HttpServer;
pub use settings::{HttpSettings, TlsSettings};

#[cfg(test)]
mod tests;
