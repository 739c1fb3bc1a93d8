//! What is wrong with the command line or the settings.

use std::fmt::Display;

/// The exit status of a command that was given wrong settings or used wrongly.
pub(super) const WRONG_USE: u8 = 2;

/// The command line or the settings are wrong, and nothing was done about them.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Misuse(String);

impl Misuse {
    /// With all that is wrong, in words.
    pub(super) fn of(wrong: impl Display) -> Self {
        Self(wrong.to_string())
    }
}
