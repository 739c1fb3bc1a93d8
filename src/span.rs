//! Spans: what took how long, and what for, as OpenTelemetry knows them. It knows nobody who collects them.
//!
//! With the feature `otel` a span is one, while somebody collects. Without it it is nothing, and everything here does
//! nothing: whoever has something to tell needs not ask. One span a transfer, a fill, a request; none a packet.

#[cfg(not(feature = "otel"))]
mod off;
#[cfg(feature = "otel")]
mod otel;

#[cfg(not(feature = "otel"))]
pub(crate) use off::{Span, carry};
#[cfg(feature = "otel")]
pub(crate) use otel::{Span, carry, collect};

/// Whose work a span is of.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    /// A client's, which waits for it.
    Server,
    /// A remote server's, for which we wait.
    Client,
    /// Our own.
    Internal,
}
