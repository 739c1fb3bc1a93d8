//! What the failures of all sources of an asset come to.

use std::time::Duration;

use super::ReadError;
use super::fill::FillOutcome;
use crate::asset::SourceUrl;
use crate::origin::OriginError;

/// When a client should ask again for what no source could give: long enough for a short outage, short against the
/// patience of firmware.
pub(super) const ASK_AGAIN: Duration = Duration::from_secs(10);

/// How the sources of one asset failed, one after the other.
#[derive(Debug, Default)]
pub(super) struct SourceFailures {
    wrong: Vec<String>,
    missing: Vec<String>,
    unreadable: Vec<String>,
    changed: bool,
    retry_after: Option<Duration>,
}

impl SourceFailures {
    /// A source has other bytes than the catalog says.
    pub(super) fn wrong(&mut self, source: &SourceUrl, reason: &str) {
        self.wrong.push(format!("{source}: {reason}"));
    }

    /// A source's object changed each time that it was read.
    pub(super) fn changed(&mut self, source: &SourceUrl) {
        self.changed = true;
        self.unreadable.push(format!("{source} keeps changing while it is read"));
    }

    /// A source could not be read.
    pub(super) fn origin(&mut self, error: &OriginError) {
        self.retry_after = self.retry_after.max(error.retry_after());
        let list = if error.is_not_found() { &mut self.missing } else { &mut self.unreadable };
        list.push(error.to_string());
    }

    /// The end that they come to. A source that may yet have the bytes outweighs one that has others, and that one
    /// outweighs one that has none.
    pub(super) fn verdict(self) -> (FillOutcome, ReadError) {
        if !self.unreadable.is_empty() {
            let outcome = if self.changed { FillOutcome::Changed } else { FillOutcome::OriginFailed };
            let all = [self.unreadable, self.wrong, self.missing].concat();
            let retry_after = self.retry_after.unwrap_or(ASK_AGAIN);
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
    use super::*;

    fn source(text: &str) -> SourceUrl {
        text.parse().unwrap()
    }

    fn missing() -> OriginError {
        OriginError::NotFound { source_url: "s3://b/missing".into() }
    }

    fn down() -> OriginError {
        OriginError::Connect { host: "s3.lab:9000".into(), reason: "connection refused".into(), source: None }
    }

    #[test]
    fn a_source_that_may_come_back_keeps_the_asset_alive() {
        let mut failures = SourceFailures::default();
        failures.wrong(&source("s3://b/wrong"), "another digest");
        failures.origin(&missing());
        failures.origin(&down());
        let (outcome, error) = failures.verdict();
        assert_eq!(outcome, FillOutcome::OriginFailed);
        assert_eq!(
            error.to_string(),
            "no source could be read: cannot connect to s3.lab:9000: connection refused; s3://b/wrong: another digest; \
             s3://b/missing does not exist"
        );
    }

    #[test]
    fn wrong_bytes_outweigh_missing_ones() {
        let mut failures = SourceFailures::default();
        failures.origin(&missing());
        failures.wrong(&source("s3://b/wrong"), "another digest");
        assert!(matches!(failures.verdict(), (FillOutcome::DigestMismatch, ReadError::WrongBytes(_))));
    }

    #[test]
    fn what_no_source_has_is_not_found() {
        let mut failures = SourceFailures::default();
        failures.origin(&missing());
        let (outcome, error) = failures.verdict();
        assert_eq!(
            (outcome, error.to_string().as_str()),
            (FillOutcome::OriginFailed, "no source has it: s3://b/missing does not exist")
        );
    }

    #[test]
    fn a_changing_object_is_told_apart_and_a_wish_to_wait_is_kept() {
        let mut failures = SourceFailures::default();
        failures.changed(&source("s3://b/k"));
        assert_eq!(failures.verdict().0, FillOutcome::Changed);
        let mut failures = SourceFailures::default();
        failures.origin(&OriginError::Throttled {
            host: "h".into(),
            code: "503".into(),
            retry_after: Some(Duration::from_secs(42)),
        });
        let (_, error) = failures.verdict();
        assert!(matches!(error, ReadError::Unavailable { retry_after, .. } if retry_after == Duration::from_secs(42)));
    }
}
