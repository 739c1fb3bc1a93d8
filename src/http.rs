//! The HTTP server. It knows nothing of TFTP, and nothing of where bytes come from but the depot.
//!
//! A connection's way: [`HttpServer`] accepts it, `Conduct` speaks HTTP/1 or HTTP/2 on it and ends it when its `Client`
//! falls silent, `Site` finds what a path means, `asset` answers with bytes of the depot, and `Body` counts what the
//! socket took of them.

mod answer;
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
mod patience;
pub mod range;
mod server;
mod settings;
mod site;
mod socket;
mod stamp;
mod tls;

pub(crate) use answer::{RETRY_SECONDS, RequestId, SERVER_VALUE, X_REQUEST_ID};
pub(crate) use client::Client;
pub(crate) use connection::{Conduct, Handler};
pub use error::HttpError;
pub(crate) use listener::inherit_or_bind;
pub use server::HttpServer;
pub(crate) use server::accept;
pub use settings::{HttpSettings, TlsSettings, plain_port};
pub(crate) use stamp::Stamp;

#[cfg(test)]
pub(crate) mod tests;
