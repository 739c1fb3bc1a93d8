//! One ranged read of one source that survives transient failures (closed connections, stalls, throttling) and replies that
//! contradict each other.
//!
//! After such a failure it resumes at the next byte, in a plainer way if the source calls for it. Other failures are returned.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use tokio::time::Instant;
use tracing::debug;

use super::ladder::Rung;
use super::source_access::SourceAccess;
use crate::asset::ByteRange;
use crate::backoff::{Backoff, BackoffPolicy};
use crate::origin::{Body, OriginError};

/// The delays of retries. The longest is short: a booting machine waits for it.
const BACKOFF: BackoffPolicy =
    BackoffPolicy { first: Duration::from_millis(200), max: Duration::from_secs(5), jitter: 0.5 };
/// How many bytes longer than it is an object may be said to be: lengths that are wrong by one, or by a line end, occur. A
/// larger difference is another object, or a body that broke off.
pub(super) const LENGTH_SLACK: u64 = 2;
/// The longest delay that a source may request with `Retry-After`.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(30);

/// An active ranged read.
#[expect(clippy::struct_excessive_bools, reason = "independent facts about the source and the body")]
pub(super) struct ResumingRead {
    access: Arc<SourceAccess>,
    /// Whether no other connection reads this source.
    alone: bool,
    /// The offset of the next byte, and the end of the range.
    at: u64,
    end: u64,
    /// The object's length, from the first reply. `None` if it did not say.
    total: Option<u64>,
    ignored_range: bool,
    body: Option<Body>,
    /// The offset at which the body ends, as the reply's head says.
    body_end: u64,
    /// Whether the next piece of the body begins with the object's first byte.
    at_start: bool,
    /// Whether the body has brought new bytes.
    gained: bool,
    /// Whether any body has.
    has_read: bool,
    /// Bytes of the body before `at`, from a source that sends more than the requested range.
    skip: u64,
    retries: Retries,
    /// How the last request was made.
    asked: Rung,
    /// When to send the next request.
    retry_at: Option<Instant>,
}

/// The retries after consecutive failures.
struct Retries {
    max: u32,
    backoff: Backoff,
}

impl Retries {
    /// The delay before the next retry. `None` if `error` is not transient or no retry is left.
    fn next_delay(&mut self, error: &OriginError) -> Option<Duration> {
        if !error.is_transient() || self.backoff.failures() >= self.max.min(error.retry_limit().unwrap_or(u32::MAX)) {
            return None;
        }
        let delay = self.backoff.next_delay();
        let failures = self.backoff.failures();
        let delay = match (error, error.retry_after()) {
            (_, Some(requested)) => requested.min(MAX_RETRY_AFTER),
            // The stall has cost time already, and a new connection may work at once.
            (OriginError::Stalled { .. } | OriginError::NoAnswer { .. }, None) if failures == 1 => Duration::ZERO,
            _ => delay,
        };
        debug!(%error, ?delay, failures, "retrying origin read");
        Some(delay)
    }
}

impl ResumingRead {
    /// Requests `range`, truncated to the object's end. `alone`: no other connection reads this source, so that this one may
    /// read the whole as a stream.
    pub(super) async fn open(access: &Arc<SourceAccess>, range: ByteRange, alone: bool) -> Result<Self, OriginError> {
        let mut read = Self {
            access: Arc::clone(access),
            alone,
            at: range.start,
            end: range.end,
            total: None,
            ignored_range: false,
            body: None,
            body_end: 0,
            at_start: false,
            gained: false,
            has_read: false,
            skip: 0,
            retries: Retries { max: access.retries(), backoff: Backoff::new(BACKOFF) },
            asked: access.rung(),
            retry_at: None,
        };
        while read.body.is_none() {
            if let Err(error) = read.request().await {
                read.recover(error)?;
            }
        }
        read.end = read.end.min(read.total.unwrap_or(u64::MAX)).max(read.at);
        Ok(read)
    }

    /// Narrows the read to `range`.
    pub(super) fn narrow_to(&mut self, range: ByteRange) {
        let range = range.intersect(&self.rest());
        self.skip += range.start - self.at;
        (self.at, self.end) = (range.start, range.end);
    }

    /// Extends the read to the whole object of `size` bytes, for a source that sends the whole. Nothing may have been read.
    pub(super) fn widen_to(&mut self, size: u64) {
        let first = self.at - self.skip;
        (self.at, self.end, self.skip) = (first, size, 0);
    }

    /// Whether other connections read the source too, from now on.
    pub(super) fn set_alone(&mut self, alone: bool) {
        self.alone = alone;
    }

    /// The source as it is read.
    pub(super) fn access(&self) -> &SourceAccess {
        &self.access
    }

    /// The object's length in bytes. `None` if the source does not say.
    pub(super) fn total(&self) -> Option<u64> {
        self.total
    }

    /// Whether the source sends the whole object as one stream.
    pub(super) fn is_stream(&self) -> bool {
        self.ignored_range || self.asked >= Rung::Stream
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
            let Some(body) = &mut self.body else {
                if let Err(error) = self.request().await {
                    self.recover(error)?;
                }
                continue;
            };
            match body.chunk().await {
                Ok(Some(mut bytes)) => {
                    if std::mem::take(&mut self.at_start) {
                        self.access.note_start(&bytes);
                    }
                    let skipped = self.skip.min(bytes.len() as u64);
                    self.skip -= skipped;
                    // At most the chunk's length, which is a usize.
                    let _ = bytes.split_to(usize::try_from(skipped).unwrap_or(bytes.len()));
                    let left = self.end - self.at;
                    bytes.truncate(usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len()));
                    if bytes.is_empty() {
                        continue;
                    }
                    self.gained = true;
                    if !std::mem::replace(&mut self.has_read, true) {
                        self.access.note_read();
                    }
                    // A source that still sends bytes is not given up, however often it closes the connection.
                    self.retries.backoff.reset();
                    let offset = self.at;
                    self.at += bytes.len() as u64;
                    return Ok(Some((offset, bytes)));
                }
                Ok(None) => {
                    self.body = None;
                    if self.end == u64::MAX && self.asked == Rung::Measured {
                        self.end = self.at;
                    }
                    // A source that sends less than the requested range, and says so, is asked for the rest at once.
                    let sends_less = self.gained && self.at == self.body_end && self.asked < Rung::Stream;
                    if self.at < self.end && !sends_less {
                        let source_url = self.access.source().to_string();
                        let (received, expected) = (self.at, self.end);
                        self.recover(OriginError::Truncated { source_url, received, expected })?;
                    }
                }
                Err(OriginError::Truncated { .. }) if self.ends_early() => self.end = self.at,
                Err(error) => self.recover(error)?,
            }
        }
        Ok(None)
    }

    /// Adds to `reason`, why the object is not the right one, what it seems to be instead. Nothing may have been read.
    pub(super) async fn explain(&mut self, reason: &str) -> String {
        // For its first bytes. Whether they come is of no importance.
        let _ = self.chunk().await;
        self.access.explain(&reason)
    }

    /// The next bytes if they are available without waiting.
    pub(super) fn chunk_now(&mut self) -> Option<Result<Option<(u64, Bytes)>, OriginError>> {
        // Without a body a new request is needed, which takes time.
        self.body.is_some().then(|| self.chunk().now_or_never()).flatten()
    }

    /// Whether a body that breaks off here may be the whole, of which the source says that it is longer.
    fn ends_early(&self) -> bool {
        self.asked == Rung::Measured && self.total.is_some_and(|total| total - self.at.min(total) <= LENGTH_SLACK)
    }

    /// Prepares the next request after `error`: later, or in a plainer way. Returns the error if neither helps.
    fn recover(&mut self, error: OriginError) -> Result<(), OriginError> {
        self.body = None;
        if let Some(delay) = self.retries.next_delay(&error) {
            self.retry_at = Some(Instant::now() + delay);
            return Ok(());
        }
        if !self.access.step_down(self.asked, &error, self.alone) {
            return Err(error);
        }
        self.retries.backoff.reset();
        Ok(())
    }

    /// Requests the rest.
    async fn request(&mut self) -> Result<(), OriginError> {
        if let Some(retry_at) = self.retry_at {
            tokio::time::sleep_until(retry_at).await;
            self.retry_at = None;
        }
        self.asked = self.access.rung();
        let reply = self.access.request(self.rest()).await?;
        self.total = self.total.or(reply.total);
        self.ignored_range = reply.ignored_range;
        self.gained = false;
        self.skip = self.at.saturating_sub(reply.range.start);
        self.body_end = reply.range.end;
        self.at_start = reply.range.start == 0;
        self.body = Some(reply.body);
        Ok(())
    }
}
