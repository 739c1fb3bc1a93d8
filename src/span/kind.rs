//! The kinds of spans.

/// The role that this process has in a span's work (OpenTelemetry `SpanKind`).
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    /// It serves a client, which waits.
    Server,
    /// It is the client of a remote server and waits.
    Client,
    /// Neither.
    Internal,
}
