//! OpenTelemetry spans. It does not know the exporter.
//!
//! Without the feature `otel`, or without an exporter, all functions here do nothing, so that callers need no condition.
//! There is one span for each transfer, fill and request, and none for a packet.

#[cfg(not(feature = "otel"))]
mod off;
#[cfg(feature = "otel")]
mod otel;

#[cfg(not(feature = "otel"))]
pub(crate) use off::{Span, carry};
#[cfg(feature = "otel")]
pub(crate) use otel::{Span, carry, collect};

/// The kind of a span (OpenTelemetry's `SpanKind`).
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    /// It serves a request of a client.
    Server,
    /// It waits for a remote server.
    Client,
    /// It is internal work.
    Internal,
}
