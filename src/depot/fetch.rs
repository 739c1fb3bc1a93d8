//! One ranged read of one source that survives what passes by itself: cut connections, stalls, throttling.
//!
//! After a failure it asks again from the byte it had come to, of the same object. What it cannot mend it reports.

use std::time::Duration;

use bytes::Bytes;
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
}

/// How many failures in a row are still forgiven.
struct Patience {
    retries: u32,
    failures: u32,
}

impl Patience {
    /// Waits before the next try, or gives the error back where there is to be none.
    async fn wait(&mut self, error: OriginError) -> Result<(), OriginError> {
        if !error.is_transient() || self.failures >= self.retries {
            return Err(error);
        }
        let doubled = FIRST_PAUSE.saturating_mul(1 << self.failures.min(10)).min(LONGEST_PAUSE);
        self.failures += 1;
        let pause = match (&error, error.retry_after()) {
            (_, Some(asked)) => asked.min(LONGEST_ASKED),
            // The source is there and this connection is not: another one may do at once.
            (OriginError::Stalled { .. } | OriginError::Truncated { .. }, None) if self.failures == 1 => Duration::ZERO,
            _ => doubled.mul_f64(0.5 + fastrand::f64() / 2.0),
        };
        debug!(%error, ?pause, failures = self.failures, "asking the origin again");
        tokio::time::sleep(pause).await;
        Ok(())
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
                Err(error) => patience.wait(error).await?,
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
        })
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
    /// Cancel safe: a dropped call loses nothing.
    pub(super) async fn chunk(&mut self) -> Result<Option<(u64, Bytes)>, OriginError> {
        while self.at < self.end {
            let step = match &mut self.body {
                Some(body) => body.chunk().await,
                None => match self.reopen().await {
                    Ok(()) => continue,
                    Err(error) => Err(error),
                },
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
                        self.patience.wait(truncated).await?;
                    }
                }
                Err(error) => {
                    self.body = None;
                    self.patience.wait(error).await?;
                }
            }
        }
        Ok(None)
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
