//! Hashes an object at its source: read as a fill without free space reads it, and hashed on blocking threads.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tracing::debug;

use super::ladder::Rung;
use super::pace::Pace;
use super::resuming_read::ResumingRead;
use super::source_access::SourceAccess;
use super::source_error::SourceError;
use super::stored_bytes::StoredBytes;
use crate::asset::{AssetName, ByteRange, CompositeDigest, CompositeVerifier, Digest, SourceUrl, Verifier};
use crate::error_chain::error_chain;
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
    let Sink { whole, .. } =
        hash_at_pace(origins, asset, source, reading, (SLOW_LIMIT, Sink::default()), hashed).await?;
    Ok(Hashed { size: whole.length(), digest: whole.verify(expected).map(drop) })
}

/// The bytes of an object that was read to learn its digest.
pub(super) struct Learned {
    pub(super) size: u64,
    pub(super) digest: Digest,
    /// The digest of its parts, if their size was given.
    pub(super) composite: Option<CompositeDigest>,
    /// The page that it is: a web server sends one for a directory, or to log in.
    pub(super) page: Option<HtmlPage>,
    /// The bytes, if they were stored.
    pub(super) stored: Option<StoredBytes>,
}

/// Reads the object to learn its digest, and that of its parts if they have `part_size` bytes. Stores the bytes in `stored` as
/// long as the disk takes them. Otherwise like [`hash_source`].
pub(super) async fn learn_digest(
    origins: &Origins,
    asset: &AssetName,
    source: (&SourceUrl, Option<u64>),
    retries: u32,
    (part_size, stored): (Option<u64>, Option<StoredBytes>),
) -> Result<Learned, OriginError> {
    let sink = Sink { composite: part_size.map(CompositeVerifier::new), stored, ..Sink::default() };
    let sink = hash_at_pace(origins, asset, source, (retries, false), (SLOW_LIMIT, sink), |_| {}).await?;
    // A file may well be a page; but then its name says so.
    let is_page = [".html", ".htm", ".xhtml"].iter().any(|suffix| asset.as_str().ends_with(suffix));
    Ok(Learned {
        size: sink.whole.length(),
        digest: sink.whole.digest(),
        composite: sink.composite.map(CompositeVerifier::finish),
        page: HtmlPage::parse(&sink.start).filter(|_| !is_page),
        stored: sink.stored,
    })
}

/// Where the bytes go as they are read.
#[derive(Default)]
struct Sink {
    whole: Verifier,
    composite: Option<CompositeVerifier>,
    /// The first bytes.
    start: Vec<u8>,
    stored: Option<StoredBytes>,
}

impl Sink {
    /// Takes the next bytes. Blocks.
    fn take(&mut self, pieces: &[Bytes]) {
        let offset = self.whole.length();
        for piece in pieces {
            let room = HtmlPage::ENOUGH.saturating_sub(self.start.len()).min(piece.len());
            self.start.extend_from_slice(&piece[..room]);
            self.whole.update(piece);
            if let Some(composite) = &mut self.composite {
                composite.update(piece);
            }
        }
        if let Some(Err(error)) = self.stored.as_mut().map(|stored| stored.write_at(offset, pieces)) {
            // The first request reads the object again.
            debug!(error = %error_chain(&error), "bytes not stored while their digest is learned");
            self.stored = None;
        }
    }
}

/// Reads and hashes into `sink`.
async fn hash_at_pace(
    origins: &Origins,
    asset: &AssetName,
    (source, size): (&SourceUrl, Option<u64>),
    (retries, plain): (u32, bool),
    (slow_limit, mut sink): (Duration, Sink),
    mut hashed: impl FnMut(u64),
) -> Result<Sink, OriginError> {
    let access = Arc::new(SourceAccess::new(asset, origins, source, size, retries));
    match size {
        None => access.lower_to(Rung::Measured, &SourceError::NoLength),
        Some(_) if plain => access.lower_to(Rung::Stream, &"its bytes have another digest"),
        Some(_) => {}
    }
    let range = ByteRange::new(0, size.unwrap_or(u64::MAX));
    let mut read = ResumingRead::open(&access, range, true).await?;
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
            waiting += piece.len();
            pieces.push(piece);
        }
        if waiting >= JOB_SIZE || ended {
            let job: Vec<Bytes> = std::mem::take(&mut pieces);
            let work = move || {
                sink.take(&job);
                sink
            };
            sink = blocking(work).await;
            hashed(std::mem::take(&mut waiting) as u64);
        }
        if ended {
            return Ok(sink);
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
        let hashing = hash_at_pace(&origins, &name, (&source, size), (3, false), (limit, Sink::default()), |_| {});
        let error =
            tokio::time::timeout(stretch(Duration::from_mins(1)), hashing).await.unwrap().map(drop).unwrap_err();
        assert!(matches!(error, OriginError::TooSlow { .. }), "{error}");
    }
}
