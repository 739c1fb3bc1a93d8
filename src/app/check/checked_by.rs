//! The process that runs a check.

/// The process that runs a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckedBy {
    /// The running server.
    Server,
    /// A command, which may have another user and another environment than the server.
    Command,
}
