//! A fill's partial blob, and where its bytes came from.

use std::sync::Arc;

use super::error::ReadError;
use super::fill::Fill;
use crate::cache::{CacheError, Partial};
use crate::task::blocking;

/// The partial blob of a fill.
pub(super) struct PartialState {
    pub(super) partial: Arc<Partial>,
    /// Bytes that an earlier run wrote.
    pub(super) reused: u64,
    /// Whether all written bytes came from one reply of one source. Only then a wrong digest proves that this source is
    /// wrong.
    pub(super) single_stream: bool,
}

impl PartialState {
    /// Deletes the partial blob.
    pub(super) async fn discard(&self) {
        let partial = Arc::clone(&self.partial);
        blocking(move || partial.discard()).await;
    }

    /// Discards the unverified bytes because of `fault`, with `discard_verified` the verified ones too.
    pub(super) async fn reset(
        &mut self,
        fill: &Fill,
        discard_verified: bool,
        fault: ReadError,
    ) -> Result<(), CacheError> {
        fill.reset(Arc::clone(&self.partial), discard_verified, fault).await?;
        self.reused = 0;
        Ok(())
    }
}
