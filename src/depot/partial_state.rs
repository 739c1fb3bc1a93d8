//! A fill's partial blob, and where its bytes came from.

use std::sync::Arc;

use super::error::ReadError;
use super::fill::Fill;
use crate::asset::SourceUrl;
use crate::cache::{CacheError, Partial};
use crate::origin::Validator;
use crate::task::blocking;

/// The partial blob of a fill.
pub(super) struct PartialState {
    pub(super) partial: Arc<Partial>,
    /// Bytes that an earlier run wrote.
    pub(super) reused: u64,
    /// Whether all written bytes came from one state of one source, in this run. Only then a wrong digest proves that this
    /// source is wrong.
    pub(super) single_source: bool,
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
        self.single_source = true;
        self.reused = 0;
        Ok(())
    }
}

/// The note that a partial blob stores: the object's validator, and the source.
pub(super) fn note(source: &SourceUrl, validator: Option<&Validator>) -> String {
    format!("{}\n{source}", validator.map_or("", Validator::as_str))
}

/// Whether bytes fetched under the note `stored` may belong to the object of the note `current`. Bytes of another source
/// may: if they differ, the digest shows it, and the reused bytes are discarded.
pub(super) fn same_object(stored: &str, current: &str) -> bool {
    match (stored.split_once('\n'), current.split_once('\n')) {
        (Some((stored, stored_source)), Some((current, current_source))) => {
            stored_source != current_source || stored == current
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changed_validator_of_same_source_differs() {
        assert!(same_object("v1\ns3://b/k", "v1\ns3://b/k"));
        assert!(!same_object("v1\ns3://b/k", "v2\ns3://b/k"));
        assert!(same_object("v1\ns3://b/k", "v2\ns3://other/k"));
        assert!(!same_object("v1", "v1\ns3://b/k"));
    }
}
