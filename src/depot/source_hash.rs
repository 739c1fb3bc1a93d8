//! Hashes an object at its source without caching it: read as a fill without free space reads it, and hashed on blocking
//! threads.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::ladder::Rung;
use super::pace::Pace;
use super::resuming_read::ResumingRead;
use super::source_access::SourceAccess;
use super::source_error::SourceError;
use crate::asset::{AssetName, ByteRange, Digest, SourceUrl, Verifier};
use crate::origin::{HtmlPage, OriginError, Origins};
use crate::task::blocking;

/// Bytes per job of a blocking thread: about 3 ms of hashing.
const JOB_SIZE: usize = 4 << 20;
/// How long a source may send bytes more slowly than a fill accepts. Longer than the stall timeout of fills: here no other
/// source is waiting.
const SLOW_LIMIT: Duration = Duration::from_mins(1);

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
/// bytes that are hashed; `asset` is the name in logs. Fails with [`OriginError::TooSlow`] if the source sends for a minute more
/// slowly than a fill accepts.
pub async fn hash_source(
    origins: &Origins,
    asset: &AssetName,
    source: (&SourceUrl, Option<u64>),
    expected: &Digest,
    reading: (u32, bool),
    hashed: impl FnMut(u64),
) -> Result<Hashed, OriginError> {
    let bytes = hash_at_pace(origins, asset, source, reading, (SLOW_LIMIT, &mut Vec::new()), hashed).await?;
    Ok(Hashed { size: bytes.length(), digest: bytes.verify(expected).map(drop) })
}

/// The bytes of an object that was read to learn its digest.
pub(super) struct Learned {
    pub(super) size: u64,
    pub(super) digest: Digest,
    /// The page that it is: a web server sends one for a directory, or to log in.
    pub(super) page: Option<HtmlPage>,
}

/// Reads the object to learn its digest. Otherwise like [`hash_source`].
pub(super) async fn learn_digest(
    origins: &Origins,
    asset: &AssetName,
    source: (&SourceUrl, Option<u64>),
    retries: u32,
) -> Result<Learned, OriginError> {
    let mut start = Vec::new();
    let bytes = hash_at_pace(origins, asset, source, (retries, false), (SLOW_LIMIT, &mut start), |_| {}).await?;
    // A file may well be a page; but then its name says so.
    let is_page = [".html", ".htm", ".xhtml"].iter().any(|suffix| asset.as_str().ends_with(suffix));
    let page = HtmlPage::parse(&start).filter(|_| !is_page);
    Ok(Learned { size: bytes.length(), digest: bytes.digest(), page })
}

/// Reads and hashes. Puts the first bytes into `start`.
async fn hash_at_pace(
    origins: &Origins,
    asset: &AssetName,
    (source, size): (&SourceUrl, Option<u64>),
    (retries, plain): (u32, bool),
    (slow_limit, start): (Duration, &mut Vec<u8>),
    mut hashed: impl FnMut(u64),
) -> Result<Verifier, OriginError> {
    let access = Arc::new(SourceAccess::new(asset, origins, source, size, retries));
    match size {
        None => access.lower_to(Rung::Measured, &SourceError::NoLength),
        Some(_) if plain => access.lower_to(Rung::Stream, &"its bytes have another digest"),
        Some(_) => {}
    }
    let range = ByteRange::new(0, size.unwrap_or(u64::MAX));
    let mut read = ResumingRead::open(&access, range, true).await?;
    let mut verifier = Verifier::new();
    let (mut pace, mut ticked) = (Pace::default(), Instant::now());
    let (id, _) = pace.begin(0, range, ticked);
    let (mut pieces, mut waiting) = (Vec::new(), 0);
    loop {
        let piece = read.chunk().await?;
        let ended = piece.is_none();
        if let Some((_, piece)) = piece {
            let now = Instant::now();
            pace.advance(id, piece.len() as u64, range);
            if now.duration_since(ticked) >= Pace::interval(slow_limit) {
                ticked = now;
                if pace.is_stalled(now, slow_limit) {
                    let limit = slow_limit.as_secs_f32();
                    let reason = format!("for {limit} s it sent fewer bytes a second than a fill accepts");
                    return Err(OriginError::TooSlow { source_url: source.to_string(), reason });
                }
            }
            let room = HtmlPage::ENOUGH.saturating_sub(start.len()).min(piece.len());
            start.extend_from_slice(&piece[..room]);
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
            return Ok(verifier);
        }
    }
}

#[cfg(test)]
mod tests {
    use bootdepot_test_support::deadline::stretch;

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

    #[tokio::test]
    async fn dripping_source_is_too_slow() {
        let content = vec![7; 1_000_000];
        let origin = FakeOrigin::start(content.clone(), &[Fault::Drip { at: 0, times: usize::MAX }]).await;
        let origins = Origins::new(Vec::new(), Timeouts::default()).unwrap();
        let (name, source) = (AssetName::parse("disk.img").unwrap(), origin.url("disk.img"));
        let (size, limit) = (Some(content.len() as u64), Duration::from_millis(300));
        let mut start = Vec::new();
        let hashing = hash_at_pace(&origins, &name, (&source, size), (3, false), (limit, &mut start), |_| {});
        let error =
            tokio::time::timeout(stretch(Duration::from_mins(1)), hashing).await.unwrap().map(drop).unwrap_err();
        assert!(matches!(error, OriginError::TooSlow { .. }), "{error}");
    }
}
