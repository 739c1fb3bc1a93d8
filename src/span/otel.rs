//! Spans with the feature `otel`.

use std::fmt::Display;
use std::sync::OnceLock;

use opentelemetry::context::{FutureExt as _, WithContext};
use opentelemetry::trace::{SpanBuilder, SpanKind, SpanRef, Status, TraceContextExt as _, Tracer as _};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::trace::SdkTracer;

use super::kind::Kind;

/// Creates spans. Not set without an exporter.
static TRACER: OnceLock<SdkTracer> = OnceLock::new();

/// Sets the tracer of the process. Returns `false` if it is set already.
pub(crate) fn collect(tracer: SdkTracer) -> bool {
    TRACER.set(tracer).is_ok()
}

/// A span. It ends when it is dropped. Does nothing without an exporter.
#[derive(Debug)]
pub(crate) struct Span(Option<Context>);

impl Span {
    /// Begins a span. Its parent is the current span, if there is one.
    pub(crate) fn begin(name: &'static str, kind: Kind) -> Self {
        let Some(tracer) = TRACER.get() else { return Self(None) };
        let kind = match kind {
            Kind::Server => SpanKind::Server,
            Kind::Client => SpanKind::Client,
            Kind::Internal => SpanKind::Internal,
        };
        let parent = Context::current();
        let span = tracer.build_with_context(SpanBuilder::from_name(name).with_kind(kind), &parent);
        Self(Some(parent.with_span(span)))
    }

    /// Sets an attribute to a text.
    pub(crate) fn text(&self, key: &'static str, value: &(impl Display + ?Sized)) {
        self.set(|| KeyValue::new(key, value.to_string()));
    }

    /// Sets an attribute to a number.
    pub(crate) fn number(&self, key: &'static str, value: u64) {
        self.set(|| KeyValue::new(key, i64::try_from(value).unwrap_or(i64::MAX)));
    }

    /// Marks it as failed, with an error type and a reason.
    pub(crate) fn fail(&self, kind: &'static str, reason: &(impl Display + ?Sized)) {
        self.set(|| KeyValue::new("error.type", kind));
        if let Some(context) = &self.0 {
            context.span().set_status(Status::error(reason.to_string()));
        }
    }

    /// Runs `work` with this as the current span.
    pub(crate) fn within<T>(&self, work: impl FnOnce() -> T) -> T {
        let _guard = self.0.as_ref().map(|context| context.clone().attach());
        work()
    }

    /// Returns `work` with this as its current span.
    pub(crate) fn around<F: Future>(&self, work: F) -> WithContext<F> {
        work.with_context(self.0.clone().unwrap_or_default())
    }

    fn set(&self, attribute: impl FnOnce() -> KeyValue) {
        let span = self.0.as_ref().map(|context| context.span());
        if let Some(span) = span.filter(SpanRef::is_recording) {
            span.set_attribute(attribute());
        }
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        // Futures from `around` may still exist, but the span has ended.
        if let Some(context) = &self.0 {
            context.span().end();
        }
    }
}

/// Returns `work`, for another task, with the current span as its own.
pub(crate) fn carry<F: Future>(work: F) -> WithContext<F> {
    work.with_current_context()
}
