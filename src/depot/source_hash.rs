//! Hashes an object at its source without caching it: read as a fill without free space reads it, and hashed on blocking
//! threads.

use bytes::Bytes;

use super::resuming_read::ResumingRead;
use crate::asset::{ByteRange, Digest, SourceUrl, Verifier};
use crate::origin::{OriginError, Origins};
use crate::task::blocking;

/// Bytes per job of a blocking thread: about 3 ms of hashing.
const JOB_SIZE: usize = 4 << 20;

/// Reads the object of `size` bytes and compares its digest with `expected`: `Ok(Ok(()))` if they are equal, `Ok(Err(found))`
/// if not. Retries like a fill. `hashed` is called with the number of further bytes that are hashed.
pub async fn hash_source(
    origins: &Origins,
    source: &SourceUrl,
    size: u64,
    expected: &Digest,
    retries: u32,
    mut hashed: impl FnMut(u64),
) -> Result<Result<(), Digest>, OriginError> {
    let mut read = ResumingRead::open(origins, source, ByteRange::whole(size), None, retries).await?;
    let changed = || OriginError::Changed { source_url: source.to_string() };
    if read.total() != size {
        return Err(changed());
    }
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
            verifier = blocking(move || {
                job.iter().for_each(|piece| verifier.update(piece));
                verifier
            })
            .await;
            hashed(std::mem::take(&mut waiting) as u64);
        }
        if ended {
            break;
        }
    }
    if verifier.length() != size {
        return Err(changed());
    }
    Ok(verifier.verify(expected).map(drop))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::depot::tests::origin::{FakeOrigin, Fault};
    use crate::origin::Timeouts;

    async fn hash(
        content: Vec<u8>,
        faults: &[Fault],
        expected: &[u8],
    ) -> (Result<Result<(), Digest>, OriginError>, u64) {
        let origin = FakeOrigin::start(content.clone(), faults).await;
        let origins = Origins::new(Vec::new(), Timeouts::default()).unwrap();
        let source = origin.url("disk.img");
        let mut total = 0;
        let result =
            hash_source(&origins, &source, content.len() as u64, &Digest::of(expected), 3, |bytes| total += bytes)
                .await;
        (result, total)
    }

    #[tokio::test]
    async fn source_hash_tells_right_from_wrong() {
        let content: Vec<u8> = (0..9_000_000u32).map(|n| n.to_le_bytes()[0]).collect();
        let (result, total) = hash(content.clone(), &[], &content).await;
        assert_eq!((result.unwrap(), total), (Ok(()), content.len() as u64));
        let (result, _) = hash(content.clone(), &[], b"other").await;
        assert_eq!(result.unwrap(), Err(Digest::of(&content)));
        let cut = Fault::CutAfter { bytes: 1_000_000, times: 2 };
        let (result, total) = hash(content.clone(), &[cut], &content).await;
        assert_eq!((result.unwrap(), total), (Ok(()), content.len() as u64), "resumes like a fill");
        let (result, total) = hash(Vec::new(), &[], b"").await;
        assert_eq!((result.unwrap(), total), (Ok(()), 0));
    }
}
