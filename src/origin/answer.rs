//! The words of an error reply: its code, and the server's own message.

use std::fmt;

/// The answer of a server in place of an object. Displayed as `code: message`, on one line, without secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer(Box<Words>);

/// Boxed, so that errors stay small.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Words {
    code: String,
    message: Option<String>,
}

impl Answer {
    /// An answer with the S3 error code, else the HTTP status, and the server's own message, or the title of its HTML page.
    pub fn new(code: impl Into<String>, message: Option<String>) -> Self {
        Self(Box::new(Words { code: code.into(), message }))
    }

    /// An answer without a message.
    pub fn from_code(code: impl Into<String>) -> Self {
        Self::new(code, None)
    }

    /// The S3 error code, else the HTTP status.
    pub fn code(&self) -> &str {
        &self.0.code
    }

    /// The server's own message, or the title of its HTML page.
    pub fn message(&self) -> Option<&str> {
        self.0.message.as_deref()
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.message() {
            Some(message) => write!(f, "{}: {message}", self.code()),
            None => f.write_str(self.code()),
        }
    }
}
