//! The claim of one connection on bytes of a fill, so that no other fetches them, and the pace of their read. Released on
//! drop.

use std::sync::Arc;
use std::time::Instant;

use tokio_util::sync::CancellationToken;

use super::fill::Fill;
use super::pace::{ReadId, SourceIndex};
use crate::asset::ByteRange;

/// Claimed bytes of a fill, which one connection reads.
pub(super) struct Claim {
    fill: Arc<Fill>,
    range: ByteRange,
    read: ReadId,
    overtaken: CancellationToken,
}

impl Claim {
    /// Claims the next missing part. `None` if nothing is left to claim.
    pub(super) fn next(fill: &Arc<Fill>, source: SourceIndex) -> Option<Self> {
        let range = fill.progress().claim()?;
        Some(Self::begin(fill, source, range))
    }

    /// Claims `range`, which may be claimed by another connection too.
    pub(super) fn of(fill: &Arc<Fill>, source: SourceIndex, range: ByteRange) -> Self {
        fill.progress().claim_range(range);
        Self::begin(fill, source, range)
    }

    /// Claims what another connection fetches too slowly, if that is worth it.
    pub(super) fn race(fill: &Arc<Fill>, source: SourceIndex) -> Option<Self> {
        let range = fill.pace().race(Instant::now())?;
        Some(Self::of(fill, source, range))
    }

    fn begin(fill: &Arc<Fill>, source: SourceIndex, range: ByteRange) -> Self {
        let (read, overtaken) = fill.pace().begin(source, range, Instant::now());
        Self { fill: Arc::clone(fill), range, read, overtaken }
    }

    /// The claimed bytes.
    pub(super) fn range(&self) -> ByteRange {
        self.range
    }

    /// Cancelled when other connections have written the bytes.
    pub(super) fn overtaken(&self) -> &CancellationToken {
        &self.overtaken
    }

    /// Whether another connection fetches the same bytes.
    pub(super) fn is_doubled(&self) -> bool {
        self.fill.pace().is_doubled(self.read)
    }

    /// Records received bytes, and what is still to come.
    pub(super) fn advance(&self, bytes: u64, rest: ByteRange) {
        self.fill.pace().advance(self.read, bytes, rest);
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut pace = self.fill.pace();
        pace.end(self.read, Instant::now());
        let mut progress = self.fill.progress();
        progress.release(self.range);
        pace.overtake(|range| progress.missing(range).is_empty());
    }
}
