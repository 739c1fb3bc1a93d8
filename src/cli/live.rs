//! One line on standard error that says how far something is.

use std::io::{IsTerminal as _, Write as _};

use super::say;

/// One line that changes on a terminal; a line for each change elsewhere.
#[derive(Default)]
pub(super) struct Live {
    last: String,
}

impl Live {
    /// Nothing is shown yet.
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// Shows this, if it is another text than before.
    pub(super) fn show(&mut self, text: &str) {
        if self.last == text {
            return;
        }
        text.clone_into(&mut self.last);
        let mut out = std::io::stderr().lock();
        // Where nobody reads it, nobody misses it.
        let _ = if out.is_terminal() { write!(out, "\r\x1b[K{text}") } else { writeln!(out, "{text}") };
        let _ = out.flush();
    }

    /// Nothing more comes.
    pub(super) fn end(&self) {
        if !self.last.is_empty() && std::io::stderr().is_terminal() {
            say(format_args!(""));
        }
    }
}
