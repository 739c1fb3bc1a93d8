//! Standard output and standard error. A closed one is no failure.

use std::fmt;
use std::io::{self, Write as _};

/// Prints to standard output.
pub(super) fn print(text: &str) -> io::Result<()> {
    match io::stdout().lock().write_all(text.as_bytes()) {
        // A reader that stops early, as in `config explain | head`, is no failure.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(io::Error::new(error.kind(), format!("cannot write to standard output: {error}")))
        }
        _ => Ok(()),
    }
}

/// Prints a line to standard error.
pub(super) fn say(line: fmt::Arguments<'_>) {
    // A closed standard error is no failure; `eprintln!` would panic.
    let _ = writeln!(io::stderr().lock(), "{line}");
}
