//! The claim of one connection on bytes of a fill, so that no other fetches them. Released on drop.

use std::sync::Arc;

use super::fill::Fill;
use crate::asset::ByteRange;

/// Claimed bytes of a fill.
pub(super) struct Claim {
    fill: Arc<Fill>,
    range: ByteRange,
}

impl Claim {
    /// Claims the next missing part. `None` if nothing is left to claim.
    pub(super) fn next(fill: &Arc<Fill>) -> Option<Self> {
        let range = fill.progress().claim()?;
        Some(Self { fill: Arc::clone(fill), range })
    }

    /// Claims `range`, which is being fetched already.
    pub(super) fn of(fill: &Arc<Fill>, range: ByteRange) -> Self {
        fill.progress().claim_range(range);
        Self { fill: Arc::clone(fill), range }
    }

    /// The claimed bytes.
    pub(super) fn range(&self) -> ByteRange {
        self.range
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.fill.progress().release(self.range);
    }
}
