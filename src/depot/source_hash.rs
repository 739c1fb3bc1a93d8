//! Hashes an object at its source without caching it: read as a fill without free space reads it, and hashed on blocking
//! threads.

use std::sync::Arc;

use bytes::Bytes;

use super::ladder::Rung;
use super::resuming_read::ResumingRead;
use super::source_access::SourceAccess;
use super::source_error::SourceError;
use crate::asset::{AssetName, ByteRange, Digest, SourceUrl, Verifier};
use crate::origin::{OriginError, Origins};
use crate::task::blocking;

/// Bytes per job of a blocking thread: about 3 ms of hashing.
const JOB_SIZE: usize = 4 << 20;

/// The bytes of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hashed {
    /// How many there are.
    pub size: u64,
    /// Their digest, if it is not the expected one.
    pub digest: Result<(), Digest>,
}

/// Reads the object and compares its digest with `expected`. `size` is its length if it is known. Retries like a fill. `plain`:
/// by one GET without a range, as a fill does if the digest is wrong otherwise. `hashed` is called with the number of further
/// bytes that are hashed; `asset` is the name in logs.
pub async fn hash_source(
    origins: &Origins,
    asset: &AssetName,
    (source, size): (&SourceUrl, Option<u64>),
    expected: &Digest,
    (retries, plain): (u32, bool),
    mut hashed: impl FnMut(u64),
) -> Result<Hashed, OriginError> {
    let access = Arc::new(SourceAccess::new(asset, origins, source, size, retries));
    match size {
        None => access.lower_to(Rung::Measured, &SourceError::NoLength),
        Some(_) if plain => access.lower_to(Rung::Stream, &"its bytes have another digest"),
        Some(_) => {}
    }
    let range = ByteRange::new(0, size.unwrap_or(u64::MAX));
    let mut read = ResumingRead::open(&access, range, true).await?;
    let mut verifier = Verifier::new();
    let (mut pieces, mut waiting) = (Vec::new(), 0);
    loop {
        let piece = read.chunk().await?;
        let ended = piece.is_none();
        if let Some((_, piece)) = piece {
            waiting += piece.len();
            pieces.push(piece);
        }
        if waiting >= JOB_SIZE || ended {
            let job: Vec<Bytes> = std::mem::take(&mut pieces);
            let work = move || {
                for piece in &job {
                    verifier.update(piece);
                }
                verifier
            };
            verifier = blocking(work).await;
            hashed(std::mem::take(&mut waiting) as u64);
        }
        if ended {
            return Ok(Hashed { size: verifier.length(), digest: verifier.verify(expected).map(drop) });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::depot::tests::origin::{FakeOrigin, Fault};
    use crate::origin::Timeouts;

    async fn hash(content: &[u8], faults: &[Fault], expected: &[u8], plain: bool) -> Hashed {
        let origin = FakeOrigin::start(content.to_vec(), faults).await;
        let origins = Origins::new(Vec::new(), Timeouts::default()).unwrap();
        let (name, source) = (AssetName::parse("disk.img").unwrap(), origin.url("disk.img"));
        let size = Some(content.len() as u64);
        let (expected, mut total) = (Digest::of(expected), 0);
        let count = |bytes| total += bytes;
        let found = hash_source(&origins, &name, (&source, size), &expected, (3, plain), count).await.unwrap();
        assert_eq!(found.size, total, "the progress ends with the bytes");
        found
    }

    #[tokio::test]
    async fn source_hash_tells_right_from_wrong() {
        let content: Vec<u8> = (0..9_000_000_u32).map(|n| n.to_le_bytes()[0]).collect();
        let right = Hashed { size: content.len() as u64, digest: Ok(()) };
        for plain in [false, true] {
            assert_eq!(hash(&content, &[], &content, plain).await, right);
            let wrong = hash(&content, &[], b"other", plain).await;
            assert_eq!(wrong, Hashed { digest: Err(Digest::of(&content)), ..right.clone() });
        }
        let cut = Fault::CutAfter { bytes: 1_000_000, times: 2 };
        assert_eq!(hash(&content, &[cut], &content, false).await, right, "it resumes like a fill");
        assert_eq!(hash(b"", &[], b"", false).await, Hashed { size: 0, digest: Ok(()) });
    }
}
