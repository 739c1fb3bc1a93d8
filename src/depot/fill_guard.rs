//! The end of a fill: recorded, logged and counted exactly once, also when its task is cancelled or panics.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use metrics::{counter, gauge, histogram};
use tracing::{info, warn};

use super::error::ReadError;
use super::fill::Fill;
use super::fill_history::FillHistory;
use super::fill_state::FillState;
use super::outcome::FillOutcome;
use super::status::FillRecord;
use crate::span::{Kind, Span};
use crate::task::TaskPanicked;

/// How a fill ended.
pub(super) struct FillEnd {
    pub(super) outcome: FillOutcome,
    pub(super) state: FillState,
    /// The error, for the log and the API.
    pub(super) detail: Option<String>,
}

/// Ends its fill when it is dropped. Until [`FillGuard::set_end`] is called, the end is a cancellation.
pub(super) struct FillGuard {
    fill: Arc<Fill>,
    started: Instant,
    end: FillEnd,
    /// Bytes that an earlier run wrote.
    reused: u64,
    history: Arc<FillHistory>,
    span: Arc<Span>,
}

impl FillEnd {
    /// The end of a fill that the depot stops.
    pub(super) fn stopped() -> Self {
        Self { outcome: FillOutcome::Cancelled, state: FillState::Failed(ReadError::Closing), detail: None }
    }

    /// The end of a fill whose last interest was withdrawn.
    pub(super) fn cancelled() -> Self {
        Self { detail: Some("no client, release or job needs it any more".to_owned()), ..Self::stopped() }
    }

    /// The end of a fill after a panic. The outcome words have none for a bug; `cancelled` blames neither the origin nor the
    /// disk.
    pub(super) fn panicked(error: TaskPanicked) -> Self {
        let error = ReadError::Internal(error);
        let detail = Some(error.to_string());
        Self { outcome: FillOutcome::Cancelled, state: FillState::Failed(error), detail }
    }
}

impl FillGuard {
    pub(super) fn new(fill: Arc<Fill>, history: Arc<FillHistory>) -> Self {
        gauge!("bootdepot_fills_active").increment(1.0);
        history.started(&fill);
        let span = Arc::new(Span::begin("fill", Kind::Internal));
        Self { fill, started: Instant::now(), end: FillEnd::stopped(), reused: 0, history, span }
    }

    /// The trace span of the fill.
    pub(super) fn span(&self) -> Arc<Span> {
        Arc::clone(&self.span)
    }

    /// Sets how the fill ended, and how many of its bytes an earlier run wrote.
    pub(super) fn set_end(&mut self, end: FillEnd, reused: u64) {
        (self.end, self.reused) = (end, reused);
    }
}

impl Drop for FillGuard {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.end = FillEnd::panicked(TaskPanicked);
        }
        let FillEnd { outcome, state, detail } = std::mem::replace(&mut self.end, FillEnd::stopped());
        // Before the waiters wake, so that they find it in the history.
        self.history.ended(FillRecord {
            name: self.fill.asset().name.clone(),
            digest: self.fill.asset().digest,
            ended: SystemTime::now(),
            took: self.started.elapsed(),
            outcome,
            received: self.fill.received(),
            detail: detail.clone(),
        });
        let is_bug = matches!(state, FillState::Failed(ReadError::Internal(_)));
        self.fill.set_state(state);
        let seconds = self.started.elapsed().as_secs_f64();
        gauge!("bootdepot_fills_active").decrement(1.0);
        counter!("bootdepot_fills_total", "outcome" => outcome.as_str()).increment(1);
        histogram!("bootdepot_fill_seconds").record(seconds);
        let (asset, bytes, reused, word) =
            (&self.fill.asset().name, self.fill.received(), self.reused, outcome.as_str());
        let (seconds, detail) = (format_args!("{seconds:.3}"), detail.as_deref());
        self.span.text("bootdepot.asset", asset);
        self.span.text("bootdepot.outcome", word);
        self.span.number("bootdepot.received_bytes", bytes);
        self.span.number("bootdepot.reused_bytes", reused);
        if matches!(outcome, FillOutcome::Complete | FillOutcome::Cancelled) && !is_bug {
            info!(target: "bootdepot::fill", %asset, outcome = word, bytes, reused, seconds, detail, "fill");
        } else {
            self.span.fail(word, detail.unwrap_or_default());
            warn!(target: "bootdepot::fill", %asset, outcome = word, bytes, reused, seconds, detail, "fill");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::asset::{AssetName, Digest};
    use crate::catalog::Asset;

    fn guard() -> (Arc<Fill>, Arc<FillHistory>, FillGuard) {
        let asset = Asset::new(AssetName::parse("disk.img").unwrap(), Digest::of(b""), Vec::new());
        let fill = Arc::new(Fill::new(Arc::new(asset), CancellationToken::new()));
        let history = Arc::new(FillHistory::new());
        let guard = FillGuard::new(Arc::clone(&fill), Arc::clone(&history));
        (fill, history, guard)
    }

    #[test]
    fn panic_is_reported_as_bug() {
        let (fill, history, guard) = guard();
        let panicked = catch_unwind(AssertUnwindSafe(move || {
            let _guard = guard;
            resume_unwind(Box::new("a bug"))
        }));
        panicked.unwrap_err();
        assert!(matches!(fill.state(), FillState::Failed(ReadError::Internal(_))));
        let record = history.past().remove(0);
        assert_eq!(record.outcome, FillOutcome::Cancelled);
        assert!(record.detail.as_ref().unwrap().contains("a bug in bootdepot"), "{record:?}");
    }

    #[test]
    fn dropped_guard_stops_fill() {
        let (fill, history, guard) = guard();
        drop(guard);
        assert!(matches!(fill.state(), FillState::Failed(ReadError::Closing)));
        assert_eq!((history.past()[0].outcome, &history.past()[0].detail), (FillOutcome::Cancelled, &None));
    }
}
