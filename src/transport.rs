//! The connection engine of the HTTP and admin listeners: binding, accepting, TLS, and one HTTP/1 or HTTP/2 connection
//! from its first byte to its last. It knows no routes, no assets and no machines.
//!
//! `listener` binds and accepts sockets, and `accept` serves each of them as a task of its own, up to a
//! `connection_limit`; `over_limit` answers further ones. `connection` speaks HTTP and closes a connection whose [`Client`] exceeds the idle timeout; requests go to the listener's
//! [`Handler`]. `http2` reads bodies only as far as the peer's windows let them go. `progress_timer` says when a peer is too
//! slow. `socket` reports the progress of writes to the `Client`, and `lingering_close` ends a connection without
//! losing what was written.

mod accept;
mod certificate;
mod client;
mod connection;
mod connection_limit;
mod error;
mod http2;
mod lingering_close;
mod listener;
mod listener_config;
mod over_limit;
mod progress_timer;
mod refusal;
mod request_body;
mod request_id;
mod respond;
mod response_fields;
mod send_queue;
mod socket;
#[cfg(test)]
pub(crate) mod testing;
mod tls;

pub(crate) use accept::accept;
pub(crate) use certificate::Certificate;
pub use certificate::check_certificate;
pub(crate) use client::{Client, CloseReason, ServerTurn};
pub(crate) use connection_limit::ConnectionLimit;
pub use error::{CertificateError, ListenError};
pub(crate) use listener::inherit_or_bind;
pub(crate) use listener_config::{Handler, ListenerConfig, RequestBody};
pub(crate) use progress_timer::ProgressLimits;
pub(crate) use refusal::{Refusal, RefusalLog};
pub(crate) use request_id::{RequestId, X_REQUEST_ID};
pub(crate) use response_fields::{RETRY_SECONDS, SERVER_VALUE};
pub(crate) use tls::acceptor;
