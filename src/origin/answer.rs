//! The words of an error reply: its code, and the server's own message.

use std::fmt;

/// The answer of a server in place of an object. Displayed as `code: message`, on one line, without secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The S3 error code, else the HTTP status.
    pub code: String,
    /// The server's own message, or the title of its HTML page.
    pub message: Option<String>,
}

impl Answer {
    /// An answer without a message.
    pub fn from_code(code: impl Into<String>) -> Self {
        Self { code: code.into(), message: None }
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.message {
            Some(message) => write!(f, "{}: {message}", self.code),
            None => f.write_str(&self.code),
        }
    }
}
