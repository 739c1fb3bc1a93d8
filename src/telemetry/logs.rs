//! The log: filter and format.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::fmt;
use std::io::{self, IsTerminal as _};
use std::panic::{self, PanicHookInfo};

use rustix::fs::fstat;
use tracing::{Event, Level, Subscriber, error};
use tracing_subscriber::fmt::format::{FormatEvent, FormatFields, Writer};
use tracing_subscriber::fmt::{FmtContext, format};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer, Registry};

use super::error::TelemetryError;
use super::log_writer::LogWriter;
use super::lost_lines::LostLines;
use crate::environment;

/// The process's log. Dropping it writes the buffered lines, unless the reader is blocked.
#[derive(Debug)]
#[must_use = "dropping it ends the log"]
pub struct Logs {
    writer: LogWriter,
}

impl Logs {
    /// Sends logs and panics to standard error. Call it once per process. `BOOTDEPOT_LOG` filters them (default `info`),
    /// `BOOTDEPOT_LOG_FORMAT` is `human` (default) or `json`, one object per line.
    pub fn start() -> Result<Self, TelemetryError> {
        let text = environment::variable("BOOTDEPOT_LOG").unwrap_or_else(|| "info".to_owned());
        let filter = filter(&text)?;
        let log_format = environment::variable("BOOTDEPOT_LOG_FORMAT").unwrap_or_else(|| "human".to_owned());
        let writer = LogWriter::to_stderr().map_err(TelemetryError::Stderr)?;
        let layer = tracing_subscriber::fmt::layer().with_writer(writer.non_blocking());
        let layer: Box<dyn Layer<Registry> + Send + Sync> = match log_format.as_str() {
            "json" => layer.json().flatten_event(true).with_current_span(false).with_span_list(false).boxed(),
            "human" if stderr_is_journal() => {
                layer.with_ansi(false).event_format(JournalFormat(format().with_target(false).without_time())).boxed()
            }
            "human" => layer.with_ansi(io::stderr().is_terminal()).with_target(false).boxed(),
            _ => return Err(TelemetryError::Format(log_format)),
        };
        let started = tracing_subscriber::registry().with(layer.with_filter(filter)).try_init();
        started.map_err(|e| TelemetryError::AlreadyStarted(e.to_string()))?;
        log_panics();
        Ok(Self { writer })
    }

    /// Returns the count of lost lines.
    pub fn lost(&self) -> LostLines {
        self.writer.lost()
    }
}

/// The filter of this text. h2 warns of each odd frame of a peer, without a limit, so that its warnings are left out unless the
/// text names them.
fn filter(text: &str) -> Result<EnvFilter, TelemetryError> {
    let filter = EnvFilter::builder().parse(format!("h2=error,{text}"));
    filter.map_err(|error| TelemetryError::Filter { text: text.to_owned(), source: error.into() })
}

/// Whether standard error is a stream of the systemd journal, according to `JOURNAL_STREAM` (systemd.exec(5)). The journal
/// adds the time of each line.
fn stderr_is_journal() -> bool {
    let stream = environment::variable("JOURNAL_STREAM").unwrap_or_default();
    fstat(io::stderr()).is_ok_and(|stat| stream == format!("{}:{}", stat.st_dev, stat.st_ino))
}

/// Formats lines for the journal: each begins with its priority, for `journalctl -p` (sd-daemon(3)).
struct JournalFormat<F>(F);

impl<S, N, F> FormatEvent<S, N> for JournalFormat<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let priority = match *event.metadata().level() {
            Level::ERROR => 3,
            Level::WARN => 4,
            Level::INFO => 6,
            Level::DEBUG | Level::TRACE => 7,
        };
        write!(writer, "<{priority}>")?;
        self.0.format_event(context, writer, event)
    }
}

/// Logs panics. The standard hook prints them, which blocks if standard error is not read.
fn log_panics() {
    let default_hook = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        if tracing::enabled!(target: "bootdepot::panic", Level::ERROR) {
            log_panic(info);
        } else {
            default_hook(info);
        }
    }));
}

fn log_panic(info: &PanicHookInfo<'_>) {
    let thread = std::thread::current();
    let location = info.location().map(tracing::field::display);
    let backtrace = Backtrace::capture();
    let backtrace = (backtrace.status() == BacktraceStatus::Captured).then(|| tracing::field::display(backtrace));
    let reason = info.payload_as_str().unwrap_or("unknown");
    error!(target: "bootdepot::panic", thread = thread.name(), location, reason, backtrace, "panic");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_of_h2_are_left_out() {
        for (text, expected) in [("info", true), ("debug,bootdepot::fill=trace", true), ("info,h2=trace", false)] {
            let directives = filter(text).unwrap().to_string();
            assert_eq!(directives.split(',').any(|directive| directive == "h2=error"), expected, "{directives}");
        }
        assert!(filter("bootdepot=nothing").is_err());
    }
}
