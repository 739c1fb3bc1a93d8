//! One line on standard error that says how far something is.

use std::io::{IsTerminal as _, Write as _};

use super::say;

/// How many columns the terminal of standard error has; 80 where nobody knows.
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
        // A line that is longer than the terminal is wide would leave a part of itself behind. Where nobody reads it, nobody
        // misses it.
        let _ = if out.is_terminal() {
            let fits: String = text.chars().take(columns().saturating_sub(1)).collect();
            write!(out, "\r\x1b[K{fits}")
        } else {
            writeln!(out, "{text}")
        };
        let _ = out.flush();
    }

    /// Nothing more comes.
    pub(super) fn end(&self) {
        if !self.last.is_empty() && std::io::stderr().is_terminal() {
            say(format_args!(""));
        }
    }
}
