//! Spans for OpenTelemetry: one for each transfer, fill and request, none for a packet. It does not know the collector.
//!
//! With the feature `otel` spans are recorded while a collector is set. Without the feature every function here does nothing,
//! so that callers need no condition.

mod kind;
#[cfg(not(feature = "otel"))]
mod off;
#[cfg(feature = "otel")]
mod otel;

pub(crate) use kind::Kind;
#[cfg(not(feature = "otel"))]
pub(crate) use off::{Span, carry};
#[cfg(feature = "otel")]
pub(crate) use otel::{Span, carry, collect};
