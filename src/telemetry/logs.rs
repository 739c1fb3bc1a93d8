//! The log: which lines, and how they look. It knows nothing of who reads them.

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

use super::lines::Lines;
use super::{LostLines, TelemetryError};

/// The process's log. When it is dropped, what was logged is written, if anybody takes it.
#[derive(Debug)]
#[must_use = "when it is dropped, the log ends"]
pub struct Logs {
    lines: Lines,
}

impl Logs {
    /// Sends logs, and panics, to standard error; once a process. `BOOTDEPOT_LOG` filters them (default `info`),
    /// `BOOTDEPOT_LOG_FORMAT` is `human` (default) or `json`, one object a line.
    pub fn start() -> Result<Self, TelemetryError> {
        let text = std::env::var("BOOTDEPOT_LOG").unwrap_or_else(|_| "info".to_owned());
        let filter = EnvFilter::builder().parse(&text);
        let filter = filter.map_err(|e| TelemetryError::Filter { text, reason: e.to_string() })?;
        let chosen = std::env::var("BOOTDEPOT_LOG_FORMAT").unwrap_or_else(|_| "human".to_owned());
        let lines = Lines::to_stderr().map_err(TelemetryError::Stderr)?;
        let layer = tracing_subscriber::fmt::layer().with_writer(lines.writer());
        let layer: Box<dyn Layer<Registry> + Send + Sync> = match chosen.as_str() {
            "json" => layer.json().flatten_event(true).with_current_span(false).with_span_list(false).boxed(),
            "human" if is_the_journal() => {
                layer.with_ansi(false).event_format(Journal(format().with_target(false).without_time())).boxed()
            }
            "human" => layer.with_ansi(io::stderr().is_terminal()).with_target(false).boxed(),
            _ => return Err(TelemetryError::Format(chosen)),
        };
        let started = tracing_subscriber::registry().with(layer.with_filter(filter)).try_init();
        started.map_err(|e| TelemetryError::Twice(e.to_string()))?;
        log_panics();
        Ok(Self { lines })
    }

    /// How many of its lines were lost.
    pub fn lost(&self) -> LostLines {
        self.lines.lost()
    }
}

/// Whether standard error is a stream of systemd's journal, which says so in `JOURNAL_STREAM` (systemd.exec(5)): it notes
/// the time of each line by itself.
fn is_the_journal() -> bool {
    let stream = std::env::var("JOURNAL_STREAM").unwrap_or_default();
    fstat(io::stderr()).is_ok_and(|stat| stream == format!("{}:{}", stat.st_dev, stat.st_ino))
}

/// Lines for the journal: each begins with its priority, as `journalctl -p` knows it (sd-daemon(3)).
struct Journal<F>(F);

impl<S, N, F> FormatEvent<S, N> for Journal<F>
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

/// Has panics logged like anything else. The standard hook prints them, and waits where nobody reads.
fn log_panics() {
    let standard = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        if tracing::enabled!(target: "bootdepot::panic", Level::ERROR) {
            log_panic(info);
        } else {
            standard(info);
        }
    }));
}

fn log_panic(info: &PanicHookInfo<'_>) {
    let thread = std::thread::current();
    let location = info.location().map(tracing::field::display);
    let backtrace = Backtrace::capture();
    let backtrace = (backtrace.status() == BacktraceStatus::Captured).then(|| tracing::field::display(backtrace));
    let why = info.payload_as_str().unwrap_or("of an unknown kind");
    error!(target: "bootdepot::panic", thread = thread.name(), location, backtrace, "panic: {why}");
}
