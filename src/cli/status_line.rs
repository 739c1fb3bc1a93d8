//! A progress line on standard error.

use std::io::{IsTerminal as _, Write as _};

use super::say;

/// The columns of the terminal of standard error; 80 if unknown.
pub(super) fn columns() -> usize {
    let columns = rustix::termios::tcgetwinsize(std::io::stderr()).map_or(0, |size| usize::from(size.ws_col));
    if columns == 0 { 80 } else { columns }
}

/// One line that changes on a terminal; a line for each change elsewhere.
#[derive(Default)]
pub(super) struct StatusLine {
    last: String,
}

impl StatusLine {
    /// An empty line.
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// Shows a text, unless it is shown already.
    pub(super) fn show(&mut self, text: &str) {
        if self.last == text {
            return;
        }
        text.clone_into(&mut self.last);
        let mut out = std::io::stderr().lock();
        // A line that is wider than the terminal would leave a part of itself behind. A closed standard error is no failure.
        let _ = if out.is_terminal() {
            let fits: String = text.chars().take(columns().saturating_sub(1)).collect();
            write!(out, "\r\x1b[K{fits}")
        } else {
            writeln!(out, "{text}")
        };
        let _ = out.flush();
    }

    /// Ends the line.
    pub(super) fn end(&self) {
        if !self.last.is_empty() && std::io::stderr().is_terminal() {
            say(format_args!(""));
        }
    }
}
