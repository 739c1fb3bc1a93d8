//! The guard of a partial's file: when the file is closed, the blob that the partial became can be sealed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::store::Store;
use crate::asset::Digest;

/// Requests the seal of an admitted blob when it is dropped. Its owner drops it after the file that it wrote the blob to:
/// a file that is open for writing cannot be sealed.
pub(super) struct SealGuard {
    store: Arc<Store>,
    digest: Digest,
    admitted: AtomicBool,
}

impl SealGuard {
    pub(super) fn new(store: &Arc<Store>, digest: &Digest) -> Self {
        Self { store: Arc::clone(store), digest: *digest, admitted: AtomicBool::new(false) }
    }

    /// Notes that the blob was admitted.
    pub(super) fn set_admitted(&self) {
        self.admitted.store(true, Ordering::Relaxed);
    }
}

impl Drop for SealGuard {
    fn drop(&mut self) {
        if self.admitted.load(Ordering::Relaxed) && self.store.sealer.is_active() {
            self.store.sealer.queue().push(self.digest);
        }
    }
}
