//! The sources of an error: on one line for log fields and findings, and the root cause.

use std::error::Error;
use std::{fmt, io, iter};

/// Displays `error` and its sources, separated by `: `. Omits a source whose text is already there: some errors include
/// the reason in their own text.
pub(crate) fn error_chain<'a>(error: &'a (dyn Error + 'static)) -> impl fmt::Display + 'a {
    ErrorChain(error)
}

struct ErrorChain<'a>(&'a (dyn Error + 'static));

impl fmt::Display for ErrorChain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = self.0.to_string();
        let mut next = self.0.source();
        while let Some(source) = next {
            let reason = source.to_string();
            if !text.contains(&reason) {
                text = format!("{text}: {reason}");
            }
            next = source.source();
        }
        f.write_str(&text)
    }
}

/// Iterates over `error` and its sources, down to the root cause. `io::Error::source` skips the error that it wraps, so
/// that one is included here.
pub(crate) fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    iter::successors(Some(error), |&error| match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        Some(inner) => Some(inner as &(dyn Error + 'static)),
        None => error.source(),
    })
}

/// Returns the last source of `error`, or `error` itself.
pub(crate) fn root_cause<'a>(error: &'a (dyn Error + 'static)) -> &'a (dyn Error + 'static) {
    causes(error).last().unwrap_or(error)
}

/// Displays only the root cause of an error whose own texts add no details, as reqwest's do. The whole error is kept.
#[derive(Debug)]
pub(crate) struct RootCause<E>(pub(crate) E);

impl<E: Error + 'static> fmt::Display for RootCause<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", root_cause(&self.0))
    }
}

impl<E: Error + 'static> Error for RootCause<E> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(root_cause(&self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot read a.toml")]
    struct Outer(#[source] std::io::Error);

    #[test]
    fn sources_follow_the_error() {
        let error = Outer(std::io::Error::other("disk error"));
        assert_eq!(error_chain(&error).to_string(), "cannot read a.toml: disk error");
    }

    #[derive(Debug, thiserror::Error)]
    #[error("cannot read a.toml: {0}")]
    struct WithReason(#[source] std::io::Error);

    #[test]
    fn included_source_is_not_repeated() {
        let error = WithReason(std::io::Error::other("disk error"));
        assert_eq!(error_chain(&error).to_string(), "cannot read a.toml: disk error");
    }

    #[test]
    fn root_cause_is_displayed_alone() {
        let error = RootCause(Outer(std::io::Error::other("disk error")));
        assert_eq!(error.to_string(), "disk error");
        assert_eq!(error_chain(&error).to_string(), "disk error");
    }
}
