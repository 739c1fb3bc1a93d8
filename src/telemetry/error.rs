//! Errors of setting up logs, metrics and traces.

use std::error::Error;

/// Why logs, metrics or traces could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// `BOOTDEPOT_LOG` is not a valid filter.
    #[error("BOOTDEPOT_LOG={text:?} is not a valid log filter: {source}; use info, debug, or bootdepot::fill=debug")]
    Filter {
        /// The value of the variable.
        text: String,
        /// The problem.
        source: Box<dyn Error + Send + Sync>,
    },
    /// `BOOTDEPOT_LOG_FORMAT` has an unknown value.
    #[error("BOOTDEPOT_LOG_FORMAT={0:?} is not known; use human or json")]
    Format(String),
    /// Standard error cannot be duplicated.
    #[error("cannot write logs to standard error: {0}")]
    Stderr(#[source] std::io::Error),
    /// The `OTEL_` variables cannot be used.
    #[error("cannot export traces: {0}; check the OTEL_EXPORTER_OTLP_ variables")]
    Traces(String),
    /// The process already has a log subscriber, metrics recorder or span collector.
    #[error("{0}")]
    AlreadyStarted(String),
}
