//! The failures of all sources of an asset, combined into one error.

use std::time::Duration;

use tracing::warn;

use super::error::ReadError;
use super::negative_cache::{Negative, NegativeEntries};
use super::outcome::FillOutcome;
use super::source_access::SourceAccess;
use super::source_error::SourceError;
use crate::asset::{AssetName, SourceUrl};
use crate::origin::OriginError;

/// When a client should retry after no source could be read: long enough for a short outage, short against the timeouts of
/// firmware.
pub(super) const RETRY_AFTER: Duration = Duration::from_secs(10);
/// The longest delay that a source may request of clients. Machines would wait for a source that may be back sooner, or whose
/// operator mends it.
const MAX_RETRY_AFTER: Duration = Duration::from_mins(2);

/// The failures of the sources of one asset, in order.
#[derive(Debug, Default)]
pub(super) struct SourceFailures {
    wrong: Vec<String>,
    missing: Vec<String>,
    unreadable: Vec<String>,
    changed: bool,
    retry_after: Option<Duration>,
}

impl SourceFailures {
    /// Adds the source of `access`, which failed with `error`, and logs it.
    pub(super) fn add(&mut self, access: &SourceAccess, error: SourceError, asset: &AssetName) {
        let source = access.source();
        match error {
            SourceError::Origin(error) => {
                warn!(%asset, %source, %error, "source not readable");
                self.add_error(&error);
            }
            error => {
                let reason = access.explain(&error);
                warn!(%asset, %source, reason, "source has wrong bytes");
                self.add_wrong_bytes(source, &reason);
            }
        }
    }

    /// Adds a source whose bytes do not match the catalog.
    pub(super) fn add_wrong_bytes(&mut self, source: &SourceUrl, reason: &str) {
        self.wrong.push(format!("{source}: {reason}"));
    }

    /// The error of an asset whose sources all have an entry in the negative cache.
    pub(super) fn known_error(entries: &NegativeEntries, sources: &[SourceUrl]) -> Option<ReadError> {
        let mut failures = Self::default();
        for source in sources {
            failures.add_known(source, entries.get(source)?);
        }
        (!sources.is_empty()).then(|| failures.into_outcome().1)
    }

    /// Adds a source that is not asked, because of its entry in the negative cache.
    pub(super) fn add_known(&mut self, source: &SourceUrl, known: Negative) {
        match known {
            Negative::Missing(text) => self.missing.push(text),
            Negative::WrongBytes(reason) => self.add_wrong_bytes(source, &reason),
        }
    }

    /// Adds a source that could not be read.
    pub(super) fn add_error(&mut self, error: &OriginError) {
        self.changed |= matches!(error, OriginError::Changed { .. });
        self.retry_after = self.retry_after.max(error.retry_after().map(|delay| delay.min(MAX_RETRY_AFTER)));
        let list = if error.is_not_found() { &mut self.missing } else { &mut self.unreadable };
        list.push(error.to_string());
    }

    /// Combines the failures into one outcome. A source that may still have the bytes takes precedence over one with wrong
    /// bytes, and that one over one without the object.
    pub(super) fn into_outcome(self) -> (FillOutcome, ReadError) {
        if !self.unreadable.is_empty() {
            let outcome = if self.changed { FillOutcome::Changed } else { FillOutcome::OriginFailed };
            let all = [self.unreadable, self.wrong, self.missing].concat();
            let retry_after = self.retry_after.unwrap_or(RETRY_AFTER);
            (outcome, ReadError::Unavailable { reason: all.join("; "), retry_after })
        } else if !self.wrong.is_empty() {
            (FillOutcome::DigestMismatch, ReadError::WrongBytes([self.wrong, self.missing].concat().join("; ")))
        } else {
            (FillOutcome::OriginFailed, ReadError::NotFound(self.missing.join("; ")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::negative_cache::NegativeCache;
    use super::*;
    use crate::asset::Digest;
    use crate::origin::Answer;

    fn source(text: &str) -> SourceUrl {
        text.parse().unwrap()
    }

    fn missing() -> OriginError {
        OriginError::NotFound { source_url: "s3://b/missing".into(), answer: None }
    }

    fn down() -> OriginError {
        OriginError::Connect { host: "s3.lab:9000".into(), reason: "connection refused".into(), source: None }
    }

    #[test]
    fn unreachable_source_outweighs_wrong_bytes() {
        let mut failures = SourceFailures::default();
        failures.add_wrong_bytes(&source("s3://b/wrong"), "another digest");
        failures.add_error(&missing());
        failures.add_error(&down());
        let (outcome, error) = failures.into_outcome();
        assert_eq!(outcome, FillOutcome::OriginFailed);
        assert_eq!(
            error.to_string(),
            "no source could be read: cannot connect to s3.lab:9000: connection refused; s3://b/wrong: another digest; \
             s3://b/missing does not exist"
        );
    }

    #[test]
    fn wrong_bytes_outweigh_missing_object() {
        let mut failures = SourceFailures::default();
        failures.add_error(&missing());
        failures.add_wrong_bytes(&source("s3://b/wrong"), "another digest");
        assert!(matches!(failures.into_outcome(), (FillOutcome::DigestMismatch, ReadError::WrongBytes(_))));
    }

    #[test]
    fn missing_everywhere_is_not_found() {
        let mut failures = SourceFailures::default();
        failures.add_error(&missing());
        let (outcome, error) = failures.into_outcome();
        assert_eq!(
            (outcome, error.to_string().as_str()),
            (FillOutcome::OriginFailed, "no source has it: s3://b/missing does not exist")
        );
    }

    #[test]
    fn known_error_needs_all_sources() {
        let entries = NegativeCache::new(Duration::from_mins(1)).of(0, &Digest::of(b"a"));
        let both = ["s3://b/missing", "s3://b/wrong"].map(source);
        let text =
            |sources: &[SourceUrl]| SourceFailures::known_error(&entries, sources).map(|error| error.to_string());
        entries.add_error(&both[0], &missing());
        entries.add_error(&both[1], &down());
        assert_eq!(text(&both[..1]).unwrap(), "no source has it: s3://b/missing does not exist");
        assert_eq!(text(&both), None, "the other source was only unreachable");
        entries.add_wrong_bytes(&both[1], "another digest");
        let expected = "every source sent wrong bytes: s3://b/wrong: another digest; s3://b/missing does not exist";
        assert_eq!(text(&both).unwrap(), expected);
        assert_eq!(text(&[]), None);
    }

    #[test]
    fn disagreeing_replies_have_own_outcome() {
        let mut failures = SourceFailures::default();
        let seen = "it has 5 bytes, and before 6".to_owned();
        failures.add_error(&OriginError::Changed { source_url: "s3://b/k".into(), seen });
        assert_eq!(failures.into_outcome().0, FillOutcome::Changed);
    }

    #[test]
    fn throttled_source_keeps_retry_after() {
        for (requested, expected) in [(42, 42), (u64::MAX, 120)] {
            let mut failures = SourceFailures::default();
            failures.add_error(&OriginError::Throttled {
                host: "h".into(),
                answer: Answer::from_code("503"),
                retry_after: Some(Duration::from_secs(requested)),
            });
            let ReadError::Unavailable { retry_after, .. } = failures.into_outcome().1 else {
                panic!("it is throttled")
            };
            assert_eq!(retry_after, Duration::from_secs(expected));
        }
    }
}
