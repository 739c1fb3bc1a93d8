//! Progress of transfers: a bar on a terminal, lines elsewhere.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::cli::format::{bytes, plain};
use crate::cli::say;
use crate::supply::mirror::Observer;

/// Shows one transfer after the other.
pub(super) struct TransferProgress {
    bar: Option<ProgressBar>,
    quiet: bool,
}

impl TransferProgress {
    /// On standard error. `quiet`: says only what needs attention.
    pub(super) fn new(is_terminal: bool, quiet: bool) -> Self {
        let bar = is_terminal.then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(8));
            let template = "{prefix} {bar:24}  {bytes} of {total_bytes}, {binary_bytes_per_sec}";
            // It is well-formed; a plain bar is no loss.
            let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
            bar.set_style(style.progress_chars("=> "));
            bar.enable_steady_tick(Duration::from_millis(250));
            bar
        });
        Self { bar, quiet }
    }

    /// Takes the bar away.
    pub(super) fn close(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    fn line(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.println(plain(text)),
            None => say(format_args!("{}", plain(text))),
        }
    }
}

impl Observer for TransferProgress {
    fn begin(&self, name: &str, size: Option<u64>) {
        if let Some(bar) = &self.bar {
            bar.reset();
            bar.set_prefix(plain(name));
            bar.set_length(size.unwrap_or(0));
        }
    }

    fn received(&self, received: u64) {
        if let Some(bar) = &self.bar {
            bar.set_position(received);
        }
    }

    fn stored(&self, name: &str, size: u64) {
        if !self.quiet {
            self.line(&format!("done    {name} ({})", bytes(size)));
        }
    }

    fn note(&self, text: &str) {
        self.line(text);
    }
}
