//! Logs, metrics and traces of the process. It knows what the rooms tell, not what they do.

mod lines;
mod logs;
mod metrics;
#[cfg(feature = "otel")]
mod traces;

pub use lines::LostLines;
pub use logs::Logs;
pub use metrics::Metrics;
#[cfg(feature = "otel")]
pub use traces::Traces;

/// Why logs, metrics or traces could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// `BOOTDEPOT_LOG` is no filter.
    #[error("BOOTDEPOT_LOG={text:?} is no log filter: {reason}; try info, debug, or bootdepot::fill=debug")]
    Filter {
        /// What it holds.
        text: String,
        /// What is wrong with it.
        reason: String,
    },
    /// `BOOTDEPOT_LOG_FORMAT` is neither.
    #[error("BOOTDEPOT_LOG_FORMAT={0:?} is not known; use human or json")]
    Format(String),
    /// Standard error cannot be written to.
    #[error("logs cannot be written to standard error: {0}")]
    Stderr(std::io::Error),
    /// The `OTEL_` variables name no collector that can be reached.
    #[error("traces cannot be exported: {0}; look at the OTEL_EXPORTER_OTLP_ variables")]
    Traces(String),
    /// The process has a recorder or a subscriber already.
    #[error("{0}")]
    Twice(String),
}
