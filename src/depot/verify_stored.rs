//! A fill whose source is the disk: an unverified blob is hashed, and needs no origin if its bytes are right.

use std::sync::Arc;

use tracing::{info, warn};

use super::error::ReadError;
use super::fill_guard::FillEnd;
use super::fill_state::FillState;
use super::fill_task::FillTask;
use super::hashing;
use super::outcome::FillOutcome;
use crate::cache::{Entry, UnverifiedBlob};
use crate::error_chain::error_chain;
use crate::task::blocking;

/// Blobs up to this size, in bytes, are hashed before their first byte is sent, which takes about 50 ms at the measured
/// 1.4 GiB/s of one core. So a corrupt one costs its clients a wait and no transfer.
const HASHED_FIRST: u64 = 64 << 20;

impl FillTask {
    /// Verifies the blob if it is on the disk and unverified. Returns its size and the end of the fill if its bytes are right.
    /// A corrupt blob goes to quarantine, and the sources are to be tried.
    ///
    /// The first bytes of a large blob are sent while it is hashed.
    pub(super) async fn verify_stored(&self) -> Option<(u64, FillEnd)> {
        let asset = self.fill.asset();
        let (cache, digest, size) = (self.cache.clone(), asset.digest, asset.size);
        let opened = blocking(move || cache.get(&digest).ok_or_else(|| cache.unverified(&digest, size))).await;
        let blob = match opened {
            // Its seal has verified it.
            Ok(entry) => {
                self.fill.set_running();
                return Some((entry.size(), complete(entry)));
            }
            Err(blob) => Arc::new(blob?),
        };
        let is_large = blob.size() > HASHED_FIRST;
        let _permit = if is_large {
            self.fill.start_with_blob(Arc::clone(&blob));
            // The semaphore is never closed.
            Some(self.hash_permits.acquire().await)
        } else {
            None
        };
        self.fill.set_running();
        match self.hash_stored(&blob).await {
            Ok(entry) => {
                info!(asset = %asset.name, %digest, bytes = blob.size(), "cached blob verified");
                Some((blob.size(), complete(entry)))
            }
            Err(reason) => {
                warn!(asset = %asset.name, %digest, reason, "cached blob not usable; fetching it");
                if is_large {
                    // Before anything else, so that no further bytes of it are sent.
                    self.fill.progress().reset(true, ReadError::Disk(format!("the cached blob is corrupt: {reason}")));
                    self.fill.notify();
                }
                None
            }
        }
    }

    /// Hashes the blob and admits it. Fails with the reason why it cannot be used.
    async fn hash_stored(&self, blob: &Arc<UnverifiedBlob>) -> Result<Entry, String> {
        let verifier = hashing::hash_blob(&self.fill, Arc::clone(blob)).await;
        // It may be readable when the disk works again; until then its bytes are fetched.
        let verifier = verifier.map_err(|error| error_chain(&error).to_string())?;
        let verified = verifier.verify(&self.fill.asset().digest);
        let blob = Arc::clone(blob);
        let admit = move || {
            let reason = match verified {
                Ok(verified) => match blob.admit(&verified) {
                    Some(entry) => return Ok(entry),
                    None => "its file was changed while it was hashed".to_owned(),
                },
                Err(found) => format!("its bytes have the SHA-256 {found}"),
            };
            blob.quarantine(&reason);
            Err(reason)
        };
        self.fill.run_blocking(admit).await
    }
}

fn complete(entry: Entry) -> FillEnd {
    FillEnd { outcome: FillOutcome::Complete, state: FillState::Complete(entry), detail: None }
}
