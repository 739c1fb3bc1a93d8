//! The terminal of a dialog: prints, and reads one line at a time. Plain lines, without cursor movements: they work over SSH, on
//! serial consoles and with screen readers, and a transcript stays readable.

use std::io::{self, BufRead, BufReader, IsTerminal as _, Write};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

use crate::cli::format::plain;
use crate::task::blocking;

/// A reader of answers and a writer of questions.
pub(super) struct Console {
    /// `None` while a line is read.
    input: Option<Box<dyn BufRead + Send>>,
    output: Box<dyn Write + Send>,
    /// Whether standard input is a terminal, whose echo can be switched off.
    has_echo: bool,
}

impl Console {
    /// Standard input and standard error.
    pub(super) fn of_terminal() -> Self {
        let has_echo = io::stdin().is_terminal();
        Self { input: Some(Box::new(BufReader::new(io::stdin()))), output: Box::new(io::stderr()), has_echo }
    }

    /// A console whose operator types `lines`.
    #[cfg(test)]
    pub(super) fn scripted(lines: &'static str, output: impl Write + Send + 'static) -> Self {
        Self { input: Some(Box::new(lines.as_bytes())), output: Box::new(output), has_echo: false }
    }

    /// Prints a text and a line end. Control characters are replaced, except line ends.
    pub(super) fn say(&mut self, text: &str) {
        let lines: Vec<_> = text.lines().map(plain).collect();
        self.write(&(lines.join("\n") + "\n"));
    }

    /// Prints `prompt` and reads a line, without the white space around it. `is_hidden`: the terminal does not show it. `None` at
    /// the end of the input.
    pub(super) async fn line(&mut self, prompt: &str, is_hidden: bool) -> io::Result<Option<String>> {
        // Before the prompt: an answer may come at once. It is dropped, and the echo back, also if this future is dropped.
        let hidden = (is_hidden && self.has_echo).then(HiddenInput::begin).transpose()?;
        self.write(prompt);
        let mut input = self.input.take().ok_or_else(|| io::Error::other("an earlier line is still being read"))?;
        let (input, read) = blocking(move || {
            let mut text = String::new();
            let read = input.read_line(&mut text);
            (input, read.map(|length| (length > 0).then(|| text.trim().to_owned())))
        })
        .await;
        self.input = Some(input);
        drop(hidden);
        read
    }

    fn write(&mut self, text: &str) {
        // A closed terminal shows in the next read.
        let _ = self.output.write_all(text.as_bytes()).and_then(|()| self.output.flush());
    }
}

/// The terminal without echo, except of line ends. Dropping it restores what was before.
struct HiddenInput {
    before: Termios,
}

impl HiddenInput {
    fn begin() -> io::Result<Self> {
        let before = tcgetattr(io::stdin())?;
        let mut hidden = before.clone();
        hidden.local_modes.remove(LocalModes::ECHO);
        hidden.local_modes.insert(LocalModes::ECHONL);
        tcsetattr(io::stdin(), OptionalActions::Flush, &hidden)?;
        Ok(Self { before })
    }
}

impl Drop for HiddenInput {
    fn drop(&mut self) {
        // Fails if the terminal is gone.
        let _ = tcsetattr(io::stdin(), OptionalActions::Drain, &self.before);
    }
}
