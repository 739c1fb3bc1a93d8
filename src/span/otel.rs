//! Spans that are some.

use std::fmt::Display;
use std::sync::OnceLock;

use opentelemetry::context::{FutureExt as _, WithContext};
use opentelemetry::trace::{SpanBuilder, SpanKind, SpanRef, Status, TraceContextExt as _, Tracer as _};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::trace::SdkTracer;

use super::Kind;

/// Who makes spans, once somebody collects them.
static TRACER: OnceLock<SdkTracer> = OnceLock::new();

/// Has spans collected from now on; once a process. Returns whether it is the first time.
pub(crate) fn collect(tracer: SdkTracer) -> bool {
    TRACER.set(tracer).is_ok()
}

/// A span. Ends when it is dropped. While nobody collects it is nothing.
#[derive(Debug)]
pub(crate) struct Span(Option<Context>);

impl Span {
    /// One that begins now, within the one in which this is called, if any.
    pub(crate) fn begin(name: &'static str, kind: Kind) -> Self {
        let Some(tracer) = TRACER.get() else { return Self(None) };
        let kind = match kind {
            Kind::Server => SpanKind::Server,
            Kind::Client => SpanKind::Client,
            Kind::Internal => SpanKind::Internal,
        };
        let within = Context::current();
        let span = tracer.build_with_context(SpanBuilder::from_name(name).with_kind(kind), &within);
        Self(Some(within.with_span(span)))
    }

    /// Notes a text of it.
    pub(crate) fn text(&self, key: &'static str, value: &(impl Display + ?Sized)) {
        self.note(|| KeyValue::new(key, value.to_string()));
    }

    /// Notes a number of it.
    pub(crate) fn number(&self, key: &'static str, value: u64) {
        self.note(|| KeyValue::new(key, i64::try_from(value).unwrap_or(i64::MAX)));
    }

    /// Says that it failed: in one word, and why.
    pub(crate) fn fail(&self, kind: &'static str, reason: &(impl Display + ?Sized)) {
        self.note(|| KeyValue::new("error.type", kind));
        if let Some(context) = &self.0 {
            context.span().set_status(Status::error(reason.to_string()));
        }
    }

    /// Does what is a part of it.
    pub(crate) fn within<T>(&self, work: impl FnOnce() -> T) -> T {
        let _guard = self.0.as_ref().map(|context| context.clone().attach());
        work()
    }

    /// What is a part of it, as a future.
    pub(crate) fn around<F: Future>(&self, work: F) -> WithContext<F> {
        work.with_context(self.0.clone().unwrap_or_default())
    }

    fn note(&self, note: impl FnOnce() -> KeyValue) {
        let span = self.0.as_ref().map(|context| context.span());
        if let Some(span) = span.filter(SpanRef::is_recording) {
            span.set_attribute(note());
        }
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        // What it was around may outlive it; its time is over all the same.
        if let Some(context) = &self.0 {
            context.span().end();
        }
    }
}

/// A future for another task that is a part of the span in which this is called.
pub(crate) fn carry<F: Future>(work: F) -> WithContext<F> {
    work.with_current_context()
}
