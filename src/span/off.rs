//! Spans without the feature `otel`: they do nothing.
#![expect(clippy::unused_self, reason = "the same interface as with the feature")]

use std::fmt::Display;

use super::kind::Kind;

/// A span that does nothing.
#[derive(Debug)]
pub(crate) struct Span;

impl Span {
    #[inline]
    pub(crate) fn begin(_name: &'static str, _kind: Kind) -> Self {
        Self
    }

    #[inline]
    pub(crate) fn text(&self, _key: &'static str, _value: &(impl Display + ?Sized)) {}

    #[inline]
    pub(crate) fn number(&self, _key: &'static str, _value: u64) {}

    #[inline]
    pub(crate) fn fail(&self, _kind: &'static str, _reason: &(impl Display + ?Sized)) {}

    #[inline]
    pub(crate) fn within<T>(&self, work: impl FnOnce() -> T) -> T {
        work()
    }

    #[inline]
    pub(crate) fn around<F: Future>(&self, work: F) -> F {
        work
    }
}

#[inline]
pub(crate) fn carry<F: Future>(work: F) -> F {
    work
}
