//! The sources of a fill that are still to be tried, and the failures of those that were given up.

use std::collections::VecDeque;
use std::sync::Arc;

use metrics::counter;
use tracing::{info, warn};

use super::error::ReadError;
use super::ladder::{self, Next, Rung};
use super::negative_cache::NegativeEntries;
use super::outcome::FillOutcome;
use super::source_access::SourceAccess;
use super::source_error::SourceError;
use super::source_failures::SourceFailures;
use crate::asset::{AssetName, SourceUrl};
use crate::catalog::Asset;

/// The sources that are still to be tried, in order.
pub(super) struct SourceQueue {
    asset: AssetName,
    /// Whether the catalog has the asset's size.
    has_size: bool,
    negative: NegativeEntries,
    waiting: VecDeque<Arc<SourceAccess>>,
    failures: SourceFailures,
}

impl SourceQueue {
    /// The sources of `asset`, without those that are known in `negative` not to have it.
    pub(super) fn new(
        asset: &Asset,
        negative: NegativeEntries,
        sources: impl IntoIterator<Item = SourceAccess>,
    ) -> Self {
        let (mut waiting, mut failures) = (VecDeque::new(), SourceFailures::default());
        for access in sources {
            match negative.get(access.source()) {
                Some(known) => failures.add_known(access.source(), known),
                None => waiting.push_back(Arc::new(access)),
            }
        }
        Self { asset: asset.name.clone(), has_size: asset.size.is_some(), negative, waiting, failures }
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
            Next::Afresh | Next::GiveUp => {
                self.remember(access.source(), &error);
                self.failures.add(&access, error, &self.asset);
            }
        }
    }

    /// Remembers that a source does not have the blob.
    fn remember(&self, source: &SourceUrl, error: &SourceError) {
        match error {
            SourceError::Origin(error) => self.negative.add_error(source, error),
            SourceError::WrongWhole(reason) | SourceError::WrongBlock(reason) => {
                self.negative.add_wrong_bytes(source, reason);
            }
            SourceError::NoLength => self.negative.add_wrong_bytes(source, &error.to_string()),
            // Unless the catalog has the size, the length of an earlier source may be the wrong one.
            SourceError::WrongLength(reason) if self.has_size => self.negative.add_wrong_bytes(source, reason),
            SourceError::WrongLength(_) | SourceError::Cache(_) | SourceError::Panicked(_) => {}
        }
    }

    /// Combines the failures into one outcome.
    pub(super) fn into_outcome(self) -> (FillOutcome, ReadError) {
        self.failures.into_outcome()
    }
}

#[cfg(test)]
mod tests {
    use super::super::negative_cache::NegativeCache;
    use super::*;
    use crate::asset::Digest;
    use crate::origin::{OriginError, Origins, Timeouts};

    fn queue(sources: &[&str]) -> SourceQueue {
        let origins = Origins::new(Vec::new(), Timeouts::default()).unwrap();
        let asset = Asset::new(AssetName::parse("disk.img").unwrap(), Digest::of(b""), Vec::new());
        let access = |url: &&str| SourceAccess::new(&asset.name, &origins, &url.parse().unwrap(), None, 1);
        let negative = NegativeCache::new(std::time::Duration::from_secs(30)).of(1, &asset.digest);
        SourceQueue::new(&asset, negative, sources.iter().map(access))
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
