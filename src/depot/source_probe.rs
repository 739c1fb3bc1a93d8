//! Probes a source as a fill reads it: the first bytes by range, the last ones by range and under a condition, and in plainer ways
//! if the source calls for them.

use std::sync::Arc;

use super::ladder::Rung;
use super::resuming_read::ResumingRead;
use super::source_access::SourceAccess;
use super::source_error::SourceError;
use crate::asset::{AssetName, ByteRange, SourceUrl};
use crate::origin::{OriginError, Origins};

/// Bytes at each end of an object that are read: enough for a body, little for a link.
const LENGTH: u64 = 1024;

/// An object that fills can read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceProbe {
    /// Its length in bytes. `None` if the source does not say.
    pub size: Option<u64>,
    /// How fills read it.
    pub reads: SourceReads,
    /// The HTML page that it begins with: perhaps of a proxy or a login in place of the object.
    pub page: Option<String>,
}

/// How fills read an object. The best is the least.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct SourceReads {
    /// The way.
    pub rung: Rung,
    /// Why not in a better way. `None` for the best.
    pub reason: Option<String>,
}

/// Reads both ends of the object. `asset` is the name in logs; `size` the length that the catalog has.
pub async fn probe_source(
    origins: &Origins,
    asset: &AssetName,
    source: &SourceUrl,
    size: Option<u64>,
    retries: u32,
) -> Result<SourceProbe, OriginError> {
    let access = Arc::new(SourceAccess::new(asset, origins, source, size, retries));
    let mut read = ResumingRead::open(&access, ByteRange::new(0, LENGTH), true).await?;
    if read.total().is_none() && !read.is_stream() {
        access.lower_to(Rung::Stream, &SourceError::NoLength);
        read = ResumingRead::open(&access, ByteRange::new(0, LENGTH), true).await?;
    }
    let total = read.total();
    let mut is_stream = drain(&mut read).await?;
    if let (Some(total), false) = (total, is_stream) {
        let last = ByteRange::new(total.saturating_sub(LENGTH), total);
        let mut read = ResumingRead::open(&access, last, true).await?;
        is_stream = drain(&mut read).await?;
    }
    Ok(SourceProbe { size: total, reads: describe(&access, is_stream), page: access.page() })
}

/// Reads a short range to its end, or only the first bytes of a stream. Returns whether it is a stream.
async fn drain(read: &mut ResumingRead) -> Result<bool, OriginError> {
    while read.chunk().await?.is_some() && !read.is_stream() {}
    Ok(read.is_stream())
}

fn describe(access: &SourceAccess, is_stream: bool) -> SourceReads {
    let (rung, reason) = match access.rung() {
        Rung::Conditional | Rung::Ranges if is_stream => (Rung::Stream, "it ignores ranges"),
        Rung::Conditional if access.is_conditional() => return SourceReads { rung: Rung::Conditional, reason: None },
        Rung::Conditional => (Rung::Ranges, "it sends neither a strong ETag nor a date of the last change"),
        other => (other, "it was read in a plainer way"),
    };
    SourceReads { rung, reason: Some(access.history().unwrap_or_else(|| reason.to_owned())) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::depot::tests::origin::{FakeOrigin, Fault};
    use crate::origin::Timeouts;

    async fn probe(length: usize, faults: &[Fault]) -> Result<SourceProbe, OriginError> {
        let origin = FakeOrigin::start(vec![7; length], faults).await;
        let origins = Origins::new(Vec::new(), Timeouts::default()).unwrap();
        let name = AssetName::parse("disk.img").unwrap();
        probe_source(&origins, &name, &origin.url("disk.img"), None, 1).await
    }

    #[tokio::test]
    async fn sound_source_is_read_conditionally() {
        for length in [100_000, 1025, 1024, 1] {
            let found = probe(length, &[]).await.unwrap();
            assert_eq!((found.size, found.reads.rung), (Some(length as u64), Rung::Conditional), "{length}");
            assert_eq!(found.reads.reason, None);
        }
    }

    #[tokio::test]
    async fn other_validator_leaves_ranges() {
        let found = probe(100_000, &[Fault::AlwaysChange]).await.unwrap();
        assert_eq!(found.reads.rung, Rung::Ranges, "{found:?}");
        assert!(found.reads.reason.is_some());
    }

    #[tokio::test]
    async fn ignored_range_leaves_one_stream() {
        let found = probe(100_000, &[Fault::IgnoreRange]).await.unwrap();
        assert_eq!((found.size, found.reads.rung), (Some(100_000), Rung::Stream), "{found:?}");
    }

    #[tokio::test]
    async fn refusal_is_the_error() {
        let error = probe(1000, &[Fault::Status(404)]).await.unwrap_err();
        assert!(error.is_not_found(), "{error}");
    }
}
