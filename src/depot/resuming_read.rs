//! One ranged read of one source that survives transient failures: closed connections, stalls, throttling.
//!
//! After such a failure it resumes at the next byte of the same object. Other failures are returned.

use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use tokio::time::Instant;
use tracing::debug;

use crate::asset::{ByteRange, SourceUrl};
use crate::backoff::{Backoff, BackoffPolicy};
use crate::origin::{Body, OriginError, Origins, Reply, Validator};

/// The delays of retries. The longest is short: a booting machine waits for it.
const BACKOFF: BackoffPolicy =
    BackoffPolicy { first: Duration::from_millis(200), max: Duration::from_secs(5), jitter: 0.5 };
/// The longest delay that a source may request with `Retry-After`.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(30);

/// An active ranged read.
pub(super) struct ResumingRead {
    origins: Origins,
    source: SourceUrl,
    /// The offset of the next byte, and the end of the range.
    at: u64,
    end: u64,
    total: u64,
    validator: Option<Validator>,
    ignored_range: bool,
    body: Option<Body>,
    /// Bytes of the body before `at`, from a source that sends more than the requested range.
    skip: u64,
    retries: Retries,
    /// When to send the next request.
    retry_at: Option<Instant>,
}

/// The retries after consecutive failures.
struct Retries {
    max: u32,
    backoff: Backoff,
}

impl Retries {
    /// The delay before the next retry. Fails with `error` if it is not transient or no retry is left.
    fn next_delay(&mut self, error: OriginError) -> Result<Duration, OriginError> {
        if !error.is_transient() || self.backoff.failures() >= self.max.min(error.retry_limit().unwrap_or(u32::MAX)) {
            return Err(error);
        }
        let delay = self.backoff.next_delay();
        let failures = self.backoff.failures();
        let delay = match (&error, error.retry_after()) {
            (_, Some(requested)) => requested.min(MAX_RETRY_AFTER),
            // The stall has cost time already, and a new connection may work at once.
            (OriginError::Stalled { .. } | OriginError::NoAnswer { .. }, None) if failures == 1 => Duration::ZERO,
            _ => delay,
        };
        debug!(%error, ?delay, failures, "retrying origin read");
        Ok(delay)
    }
}

impl ResumingRead {
    /// Requests `range` of `source`, truncated to the object's end. With `expect`, only the object with that validator is
    /// accepted.
    pub(super) async fn open(
        origins: &Origins,
        source: &SourceUrl,
        range: ByteRange,
        expect: Option<Validator>,
        retries: u32,
    ) -> Result<Self, OriginError> {
        let mut retries = Retries { max: retries, backoff: Backoff::new(BACKOFF) };
        let reply = loop {
            match origins.read(source, Some(range), expect.as_ref()).await {
                Ok(reply) => break reply,
                Err(error) => tokio::time::sleep(retries.next_delay(error)?).await,
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
            retries,
            retry_at: None,
        })
    }

    /// Narrows the read to `range`, for a source that sends more than the requested range.
    pub(super) fn narrow_to(&mut self, range: ByteRange) {
        let range = range.intersect(&self.rest());
        self.skip += range.start - self.at;
        (self.at, self.end) = (range.start, range.end);
    }

    /// The object's length in bytes.
    pub(super) fn total(&self) -> u64 {
        self.total
    }

    /// The validator of the object, such as its `ETag`. `None` if the source has none.
    pub(super) fn validator(&self) -> Option<&Validator> {
        self.validator.as_ref()
    }

    /// Whether the source ignored the requested range and sends the whole object.
    pub(super) fn ignored_range(&self) -> bool {
        self.ignored_range
    }

    /// The range that is still to be read.
    pub(super) fn rest(&self) -> ByteRange {
        ByteRange::new(self.at, self.end)
    }

    /// The next bytes and their offset; `None` after the last.
    ///
    /// Cancel safe: a dropped call loses no byte, but possibly a pending request.
    pub(super) async fn chunk(&mut self) -> Result<Option<(u64, Bytes)>, OriginError> {
        while self.at < self.end {
            let step = if let Some(body) = &mut self.body {
                body.chunk().await
            } else {
                if let Some(retry_at) = self.retry_at {
                    tokio::time::sleep_until(retry_at).await;
                    self.retry_at = None;
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
                    // A source that still sends bytes is not given up, however often it closes the connection.
                    self.retries.backoff.reset();
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
                        self.retry_at = Some(Instant::now() + self.retries.next_delay(truncated)?);
                    }
                }
                Err(error) => {
                    self.body = None;
                    self.retry_at = Some(Instant::now() + self.retries.next_delay(error)?);
                }
            }
        }
        Ok(None)
    }

    /// The next bytes if they are available without waiting.
    pub(super) fn chunk_now(&mut self) -> Option<Result<Option<(u64, Bytes)>, OriginError>> {
        // Without a body a new request is needed, which takes time.
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
