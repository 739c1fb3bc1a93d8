//! Hashing on blocking threads, in pieces short enough that a fill which ends early wastes little.

use std::sync::Arc;

use super::fill::Fill;
use crate::asset::{ByteRange, Digest, Verifier};
use crate::cache::{CacheError, Partial};

/// Read and hashed at a time: large against the cost of a system call, small enough to stay in a core's cache.
const PIECE: u64 = 256 << 10;
/// Hashed by one job: about 50 ms at the 1.4 GiB/s that one core was measured to hash.
const JOB: u64 = 64 << 20;

/// Follows the front of the fill until every byte is hashed.
pub(super) async fn follow(fill: Arc<Fill>, partial: Arc<Partial>) -> Result<Verifier, CacheError> {
    let (mut verifier, size) = (Verifier::new(), partial.size());
    let mut changes = fill.changes();
    while verifier.length() < size {
        let at = verifier.length();
        let front = fill.board().front().min(at + JOB);
        if front == at {
            // The fill's own sender lives as long as `fill` does, so this cannot fail.
            let _ = changes.changed().await;
            continue;
        }
        let (partial, hashed) = (Arc::clone(&partial), Arc::clone(&fill));
        verifier = fill
            .blocking(move || {
                read_pieces(&partial, ByteRange::new(at, front), |bytes| {
                    verifier.update(bytes);
                    hashed.add_hashed(bytes.len() as u64);
                })?;
                Ok(verifier)
            })
            .await?;
    }
    Ok(verifier)
}

/// Whether `range` has the digest `expected`.
pub(super) async fn is_right(
    fill: &Fill,
    partial: Arc<Partial>,
    range: ByteRange,
    expected: Digest,
) -> Result<bool, CacheError> {
    let check = fill.blocking(move || {
        let mut verifier = Verifier::new();
        read_pieces(&partial, range, |bytes| verifier.update(bytes))?;
        Ok(verifier.verify(&expected).is_ok())
    });
    check.await
}

fn read_pieces(partial: &Partial, range: ByteRange, mut each: impl FnMut(&[u8])) -> Result<(), CacheError> {
    let mut buffer = vec![0; usize::try_from(PIECE.min(range.len())).unwrap_or_default()];
    let mut at = range.start;
    while at < range.end {
        let length = usize::try_from(range.end - at).unwrap_or(usize::MAX).min(buffer.len());
        partial.read_at(at, &mut buffer[..length])?;
        each(&buffer[..length]);
        at += length as u64;
    }
    Ok(())
}
