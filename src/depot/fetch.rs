//! One ranged read of one source that survives what passes by itself: cut connections, stalls, throttling.
//!
//! After a failure it asks again from the byte it had come to, of the same object. What it cannot mend it reports.

use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use tokio::time::Instant;
use tracing::debug;

use crate::asset::{ByteRange, SourceUrl};
use crate::origin::{Body, OriginError, Origins, Reply, Validator};

/// The first pause before a failed request is repeated; it doubles with each further failure.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
/// The longest pause that this side chooses: a machine that boots waits for it.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// The longest pause that a source may ask for by `Retry-After`.
const LONGEST_ASKED: Duration = Duration::from_secs(30);

/// A ranged read under way.
pub(super) struct Fetch {
    origins: Origins,
    source: SourceUrl,
    /// The next byte, and one past the last.
    at: u64,
    end: u64,
    total: u64,
    validator: Option<Validator>,
    ignored_range: bool,
    body: Option<Body>,
    /// Bytes of the body that lie before `at`, from a source that sent more than was asked.
    skip: u64,
    patience: Patience,
    /// Not to be asked again before.
    pause: Option<Instant>,
}

/// How many failures in a row are still forgiven.
struct Patience {
    retries: u32,
    failures: u32,
}

impl Patience {
    /// How long to wait before the next try; the error itself where there is to be none.
    fn bear(&mut self, error: OriginError) -> Result<Duration, OriginError> {
        if !error.is_transient() || self.failures >= self.retries {
            return Err(error);
        }
        let doubled = FIRST_PAUSE.saturating_mul(1 << self.failures.min(10)).min(LONGEST_PAUSE);
        self.failures += 1;
        let pause = match (&error, error.retry_after()) {
            (_, Some(asked)) => asked.min(LONGEST_ASKED),
            // The time was lost already, and another connection may do at once.
            (OriginError::Stalled { .. }, None) if self.failures == 1 => Duration::ZERO,
            _ => doubled.mul_f64(0.5 + fastrand::f64() / 2.0),
        };
        debug!(%error, ?pause, failures = self.failures, "asking the origin again");
        Ok(pause)
    }
}

impl Fetch {
    /// Asks `source` for `range`, cut to the object's end; with `expect`, only of the object with that validator.
    pub(super) async fn open(
        origins: &Origins,
        source: &SourceUrl,
        range: ByteRange,
        expect: Option<Validator>,
        retries: u32,
    ) -> Result<Self, OriginError> {
        let mut patience = Patience { retries, failures: 0 };
        let reply = loop {
            match origins.read(source, Some(range), expect.as_ref()).await {
                Ok(reply) => break reply,
                Err(error) => tokio::time::sleep(patience.bear(error)?).await,
            }
        };
        let (start, end) = if reply.ignored_range { (0, reply.total) } else { (reply.range.start, reply.range.end) };
        Ok(Self {
            origins: origins.clone(),
            source: source.clone(),
            at: start,
            end,
            total: reply.total,
            validator: reply.validator.or(expect),
            ignored_range: reply.ignored_range,
            body: Some(reply.body),
            skip: 0,
            patience,
            pause: None,
        })
    }

    /// Takes only `range` of what comes, from a source that sends more than it was asked for.
    pub(super) fn only(&mut self, range: ByteRange) {
        let range = range.intersect(&self.rest());
        self.skip += range.start - self.at;
        (self.at, self.end) = (range.start, range.end);
    }

    /// The object's length in bytes.
    pub(super) fn total(&self) -> u64 {
        self.total
    }

    /// What names the state of the object that is read.
    pub(super) fn validator(&self) -> Option<&Validator> {
        self.validator.as_ref()
    }

    /// The source sends everything whatever is asked: this read is of the whole, from 0.
    pub(super) fn ignored_range(&self) -> bool {
        self.ignored_range
    }

    /// The bytes that are still to come.
    pub(super) fn rest(&self) -> ByteRange {
        ByteRange::new(self.at, self.end)
    }

    /// The next bytes and their offset; `None` after the last.
    ///
    /// Cancel safe: a dropped call loses no byte, though perhaps a request that was under way.
    pub(super) async fn chunk(&mut self) -> Result<Option<(u64, Bytes)>, OriginError> {
        while self.at < self.end {
            let step = if let Some(body) = &mut self.body {
                body.chunk().await
            } else {
                if let Some(pause) = self.pause {
                    tokio::time::sleep_until(pause).await;
                    self.pause = None;
                }
                match self.reopen().await {
                    Ok(()) => continue,
                    Err(error) => Err(error),
                }
            };
            match step {
                Ok(Some(mut bytes)) => {
                    let skipped = self.skip.min(bytes.len() as u64);
                    self.skip -= skipped;
                    // At most the chunk's length, which is a usize.
                    let _ = bytes.split_to(usize::try_from(skipped).unwrap_or(bytes.len()));
                    let left = self.end - self.at;
                    bytes.truncate(usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len()));
                    if bytes.is_empty() {
                        continue;
                    }
                    // A source that still brings bytes is not given up however often it breaks off.
                    self.patience.failures = 0;
                    let offset = self.at;
                    self.at += bytes.len() as u64;
                    return Ok(Some((offset, bytes)));
                }
                Ok(None) => {
                    self.body = None;
                    if self.at < self.end {
                        let truncated = OriginError::Truncated {
                            source_url: self.source.to_string(),
                            received: self.at,
                            expected: self.end,
                        };
                        self.pause = Some(Instant::now() + self.patience.bear(truncated)?);
                    }
                }
                Err(error) => {
                    self.body = None;
                    self.pause = Some(Instant::now() + self.patience.bear(error)?);
                }
            }
        }
        Ok(None)
    }

    /// The next bytes if they have come already.
    pub(super) fn chunk_now(&mut self) -> Option<Result<Option<(u64, Bytes)>, OriginError>> {
        // Without a body there is a request to be made, which takes its time.
        self.body.is_some().then(|| self.chunk().now_or_never()).flatten()
    }

    async fn reopen(&mut self) -> Result<(), OriginError> {
        let Reply { range, total, validator, body, ignored_range, .. } =
            self.origins.read(&self.source, Some(self.rest()), self.validator.as_ref()).await?;
        if total != self.total || (self.validator.is_some() && validator.is_some() && validator != self.validator) {
            return Err(OriginError::Changed { source_url: self.source.to_string() });
        }
        self.skip = if ignored_range { self.at } else { self.at - range.start.min(self.at) };
        self.body = Some(body);
        Ok(())
    }
}
