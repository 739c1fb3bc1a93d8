//! Hashing of a fill on blocking threads, in short jobs, so that little work is wasted when the fill ends early.

use std::collections::HashSet;
use std::sync::Arc;

use tracing::warn;

use super::fill::Fill;
use super::fill_bytes::FillBytes;
use super::source_error::SourceError;
use crate::asset::{ByteRange, Digest, SourceUrl, Verifier};
use crate::cache::{CacheError, Partial, UnverifiedBlob};

/// Bytes per read: large against the cost of a system call, small enough to stay in a core's cache.
const READ_SIZE: u64 = 256 << 10;
/// Bytes per job: about 3 ms at the measured 1.4 GiB/s of one core. Readers wait for the end of a job.
const JOB_SIZE: u64 = 4 << 20;

/// Hashes the stable prefix of the fill as it grows, until every byte is hashed.
pub(super) async fn hash_whole(fill: Arc<Fill>, partial: Arc<Partial>) -> Result<Verifier, CacheError> {
    // An earlier attempt may have hashed some of it.
    let (mut verifier, stored) = (fill.progress().hashed().clone(), FillBytes::Partial(partial));
    let size = stored.size();
    let mut changes = fill.subscribe();
    while verifier.length() < size {
        let at = verifier.length();
        let end = fill.progress().stable_prefix().min(at + JOB_SIZE);
        if end == at {
            // The sender is part of `fill`, so this cannot fail.
            let _ = changes.changed().await;
            continue;
        }
        verifier = hash_more(&fill, stored.clone(), verifier, end).await?;
    }
    Ok(verifier)
}

/// Hashes a blob that is on the disk.
pub(super) async fn hash_blob(fill: &Arc<Fill>, blob: Arc<UnverifiedBlob>) -> Result<Verifier, CacheError> {
    let (mut verifier, stored) = (Verifier::new(), FillBytes::Blob(blob));
    while verifier.length() < stored.size() {
        let end = stored.size().min(verifier.length() + JOB_SIZE);
        verifier = hash_more(fill, stored.clone(), verifier, end).await?;
    }
    Ok(verifier)
}

/// Hashes the bytes from where `verifier` is up to `end`, which readers may have then.
async fn hash_more(
    fill: &Arc<Fill>,
    stored: FillBytes,
    mut verifier: Verifier,
    end: u64,
) -> Result<Verifier, CacheError> {
    let (hashed, generation) = (Arc::clone(fill), fill.progress().generation());
    let verifier = fill
        .run_blocking(move || {
            read_pieces(&stored, ByteRange::new(verifier.length(), end), |bytes| {
                verifier.update(bytes);
                hashed.add_hashed(bytes.len() as u64);
            })?;
            Ok(verifier)
        })
        .await?;
    fill.progress().set_hashed(&verifier, generation);
    fill.notify();
    Ok(verifier)
}

/// Verifies each block once it is written, until all are. A block with wrong bytes is fetched again, once. Returns at once
/// if the asset has no block list and all bytes are written.
pub(super) async fn verify_blocks(fill: &Fill, partial: &Arc<Partial>, source: &SourceUrl) -> Result<(), SourceError> {
    let mut changes = fill.subscribe();
    let mut refetched = HashSet::new();
    loop {
        let (next, complete) = {
            let progress = fill.progress();
            let next = progress.next_unverified_block().and_then(|index| {
                let list = progress.block_list()?;
                Some((index, list.range(index), *list.digest(index)?))
            });
            (next, progress.is_complete())
        };
        let Some((index, range, expected)) = next else {
            if complete {
                return Ok(());
            }
            // The sender is part of `fill`, so this cannot fail.
            let _ = changes.changed().await;
            continue;
        };
        let valid = has_digest(fill, Arc::clone(partial), range, expected).await?;
        fill.progress().record_block(index, valid);
        fill.notify();
        if !valid {
            warn!(asset = %fill.asset().name, %source, block = index, bytes = %range, "block has wrong bytes");
            if !refetched.insert(index) {
                let reason = format!("block {index} (bytes {range}) does not match the block list");
                return Err(SourceError::WrongBlock(reason));
            }
        }
    }
}

/// Whether the bytes of `range` have the digest `expected`.
async fn has_digest(
    fill: &Fill,
    partial: Arc<Partial>,
    range: ByteRange,
    expected: Digest,
) -> Result<bool, CacheError> {
    let check = fill.run_blocking(move || {
        let mut verifier = Verifier::new();
        read_pieces(&FillBytes::Partial(partial), range, |bytes| verifier.update(bytes))?;
        Ok(verifier.verify(&expected).is_ok())
    });
    check.await
}

fn read_pieces(stored: &FillBytes, range: ByteRange, mut each: impl FnMut(&[u8])) -> Result<(), CacheError> {
    let mut buffer = vec![0; usize::try_from(READ_SIZE.min(range.len())).unwrap_or_default()];
    let mut at = range.start;
    while at < range.end {
        let length = usize::try_from(range.end - at).unwrap_or(usize::MAX).min(buffer.len());
        stored.read_at(at, &mut buffer[..length])?;
        each(&buffer[..length]);
        at += length as u64;
    }
    Ok(())
}
