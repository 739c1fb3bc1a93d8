//! Errors of the command line and the settings, which have an exit status of their own.

use std::fmt::Display;

/// The exit status after an error of the command line or the settings.
pub(super) const USAGE_ERROR: u8 = 2;

/// The command line or the settings are wrong; the command has changed nothing.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct UsageError(String);

impl UsageError {
    /// An error with this text.
    pub(super) fn new(error: impl Display) -> Self {
        Self(error.to_string())
    }
}
