//! Logs, metrics and traces of the process. The room knows metric names, not the rooms that record them.

mod error;
mod log_writer;
mod logs;
mod lost_lines;
mod metrics;
#[cfg(feature = "otel")]
mod traces;

pub use error::TelemetryError;
pub use logs::Logs;
pub use lost_lines::LostLines;
pub use metrics::Metrics;
#[cfg(feature = "otel")]
pub use traces::Traces;
