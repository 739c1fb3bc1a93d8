//! One file of an upstream as a stream of bytes. Resumes after failures that may pass.

use std::time::Duration;

use bytes::Bytes;
use tracing::debug;

use crate::asset::{ByteRange, SourceUrl};
use crate::backoff::{Backoff, BackoffPolicy};
use crate::origin::{Body, OriginError, Origins, SourceReader, Validator};

/// The delays of retries: about a minute in all. No machine waits for a mirror.
const BACKOFF: BackoffPolicy =
    BackoffPolicy { first: Duration::from_millis(500), max: Duration::from_secs(20), jitter: 0.5 };
/// Retries in a row without a new byte.
const RETRIES: u32 = 6;

/// A read of a whole object from its first byte to its last.
pub(super) struct Download {
    reader: SourceReader,
    body: Option<Body>,
    validator: Option<Validator>,
    total: Option<u64>,
    /// The offset of the next byte.
    at: u64,
    /// Bytes of the body before `at`, from a source that ignores ranges.
    skip: u64,
    backoff: Backoff,
}

impl Download {
    /// Requests the object.
    pub(super) async fn open(origins: &Origins, source: &SourceUrl) -> Result<Self, OriginError> {
        let mut download = Self {
            reader: SourceReader::new(origins.clone(), source.clone()),
            body: None,
            validator: None,
            total: None,
            at: 0,
            skip: 0,
            backoff: Backoff::new(BACKOFF),
        };
        while download.body.is_none() {
            if let Err(error) = download.request().await {
                download.recover(error).await?;
            }
        }
        Ok(download)
    }

    /// The object's length in bytes. `None` if the source does not say.
    pub(super) fn total(&self) -> Option<u64> {
        self.total
    }

    /// The next bytes; `None` after the last.
    pub(super) async fn chunk(&mut self) -> Result<Option<Bytes>, OriginError> {
        loop {
            let Some(body) = &mut self.body else {
                if let Err(error) = self.request().await {
                    self.recover(error).await?;
                }
                continue;
            };
            match body.chunk().await {
                Ok(Some(mut bytes)) => {
                    let skipped = self.skip.min(bytes.len() as u64);
                    self.skip -= skipped;
                    // At most the chunk's length, which is a usize.
                    let _ = bytes.split_to(usize::try_from(skipped).unwrap_or(bytes.len()));
                    if bytes.is_empty() {
                        continue;
                    }
                    self.at += bytes.len() as u64;
                    self.backoff.reset();
                    return Ok(Some(bytes));
                }
                Ok(None) if self.total.is_none_or(|total| self.at >= total) => return Ok(None),
                Ok(None) => {
                    let source_url = self.reader.source().to_string();
                    let (received, expected) = (self.at, self.total.unwrap_or_default());
                    self.recover(OriginError::Truncated { source_url, received, expected }).await?;
                }
                Err(error) => self.recover(error).await?,
            }
        }
    }

    /// Waits before the next request after `error`, or returns it if a request would not help.
    async fn recover(&mut self, error: OriginError) -> Result<(), OriginError> {
        self.body = None;
        let limit = RETRIES.min(error.retry_limit().unwrap_or(u32::MAX));
        if !error.is_transient() || self.backoff.failures() >= limit {
            return Err(error);
        }
        let delay = self.backoff.next_delay_at_least(error.retry_after().unwrap_or_default());
        debug!(source = %self.reader.source(), %error, ?delay, at = self.at, "upstream read retried");
        tokio::time::sleep(delay).await;
        Ok(())
    }

    /// Requests the rest: all of it at first, then a range of the same object.
    async fn request(&mut self) -> Result<(), OriginError> {
        let range = (self.at > 0).then(|| ByteRange::new(self.at, self.total.unwrap_or(u64::MAX)));
        let reply = self.reader.read(range, self.validator.as_ref().filter(|_| self.at > 0)).await?;
        if self.at == 0 {
            self.validator.clone_from(&reply.validator);
            self.total = reply.total;
        } else if let (Some(before), Some(now)) = (self.total, reply.total)
            && before != now
        {
            let what = format!("it has {now} bytes, and before {before}");
            return Err(OriginError::disagreement(&self.reader.source().to_string(), false, &what));
        }
        self.skip = self.at.saturating_sub(reply.range.start);
        self.body = Some(reply.body);
        Ok(())
    }
}
