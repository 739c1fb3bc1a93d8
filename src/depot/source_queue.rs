//! The sources of a fill that are still to be tried, and the failures of those that were given up.

use std::collections::VecDeque;
use std::sync::Arc;

use metrics::counter;
use tracing::{info, warn};

use super::error::ReadError;
use super::ladder::{self, Next, Rung};
use super::outcome::FillOutcome;
use super::source_access::SourceAccess;
use super::source_error::SourceError;
use super::source_failures::SourceFailures;
use crate::asset::AssetName;

/// The sources that are still to be tried, in order.
pub(super) struct SourceQueue {
    asset: AssetName,
    waiting: VecDeque<Arc<SourceAccess>>,
    failures: SourceFailures,
}

impl SourceQueue {
    pub(super) fn new(asset: &AssetName, sources: impl IntoIterator<Item = SourceAccess>) -> Self {
        let waiting = sources.into_iter().map(Arc::new).collect();
        Self { asset: asset.clone(), waiting, failures: SourceFailures::default() }
    }

    /// Takes the next source.
    pub(super) fn next(&mut self) -> Option<Arc<SourceAccess>> {
        self.waiting.pop_front()
    }

    /// Takes the next source, to be read beside `others`, which make no progress. Logs and counts it.
    pub(super) fn join(&mut self, others: &SourceAccess) -> Option<Arc<SourceAccess>> {
        let access = self.waiting.pop_front()?;
        info!(asset = %self.asset, slow = %others.source(), joined = %access.source(), "no progress: reading the next source too");
        counter!("bootdepot_sources_joined_total").increment(1);
        Some(access)
    }

    /// Puts a source back that was not given up.
    pub(super) fn put_back(&mut self, access: Arc<SourceAccess>) {
        self.waiting.push_front(access);
    }

    /// Decides what to do with a source that failed: it steps down and is tried again, waits for the others, or is given up.
    /// `single_stream`: every byte came from one plain GET of it.
    pub(super) fn settle(&mut self, access: Arc<SourceAccess>, error: SourceError, single_stream: bool) {
        match ladder::next(access.rung(), error.seen(&access, single_stream)) {
            Next::Lower(rung) => {
                access.lower_to(rung, &error);
                self.waiting.push_front(access);
            }
            Next::Afresh if access.restart() => {
                let source = access.source();
                warn!(asset = %self.asset, %source, reason = %error, "wrong bytes from several replies: reading again");
                access.lower_to(Rung::Stream, &error);
                // A source that has not been tried yet is more likely to be right.
                self.waiting.push_back(access);
            }
            Next::Afresh | Next::GiveUp => self.failures.add(&access, error, &self.asset),
        }
    }

    /// Combines the failures into one outcome.
    pub(super) fn into_outcome(self) -> (FillOutcome, ReadError) {
        self.failures.into_outcome()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::origin::{OriginError, Origins, Timeouts};

    fn queue(sources: &[&str]) -> SourceQueue {
        let origins = Origins::new(Vec::new(), Timeouts::default()).unwrap();
        let asset = AssetName::parse("disk.img").unwrap();
        let access = |url: &&str| SourceAccess::new(&asset, &origins, &url.parse().unwrap(), None, 1);
        SourceQueue::new(&asset, sources.iter().map(access))
    }

    fn wrong() -> SourceError {
        SourceError::WrongWhole("its bytes have another SHA-256".to_owned())
    }

    #[tokio::test]
    async fn mixed_bytes_are_read_again_once() {
        let mut queue = queue(&["http://a/k", "http://b/k"]);
        let first = queue.next().unwrap();
        queue.settle(Arc::clone(&first), wrong(), false);
        let second = queue.next().unwrap();
        assert_eq!(second.source().as_str(), "http://b/k", "the source that was not tried comes first");
        let again = queue.next().unwrap();
        assert!(Arc::ptr_eq(&first, &again) && again.rung() == Rung::Stream);
        queue.settle(again, wrong(), false);
        assert!(queue.next().is_none());
        assert_eq!(queue.into_outcome().0, FillOutcome::DigestMismatch);
    }

    #[tokio::test]
    async fn lower_source_is_next_again() {
        let mut queue = queue(&["http://a/k", "http://b/k"]);
        let first = queue.next().unwrap();
        let changed = OriginError::disagreement("http://a/k", false, "another ETag");
        queue.settle(Arc::clone(&first), changed.into(), false);
        assert!(Arc::ptr_eq(&first, &queue.next().unwrap()));
        assert_eq!(first.rung(), Rung::Ranges);
    }
}
