//! The body of a reply: exactly the number of bytes that the head promised, or an error.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use metrics::Counter;

use super::error::OriginError;
use super::failure;
use super::file_reader::FileReader;
use super::health::Record;
use super::stall::with_timeout;
use crate::span::Span;

/// The body of a reply. Yields exactly `Reply::range.len()` bytes or an error: never more, never silently fewer. A body of
/// unknown length ends where the source ends it.
pub struct Body {
    source: Source,
    source_url: String,
    /// `None` if the length is not known.
    expected: Option<u64>,
    received: u64,
    stall: Duration,
    counter: Counter,
    record: Option<Arc<Record>>,
    /// The span of the read. It ends with the last byte.
    span: Option<Span>,
}

enum Source {
    Http(reqwest::Response),
    File(FileReader),
    /// All bytes have been returned.
    Done,
    /// A read failed. Every later call returns the same error.
    Failed(OriginError),
}

impl Body {
    /// The body of an HTTP response with `expected` bytes. A longer body is cut there.
    pub(super) fn from_response(
        response: reqwest::Response,
        source_url: String,
        expected: Option<u64>,
        stall: Duration,
        label: &str,
    ) -> Self {
        Self::new(Source::Http(response), source_url, expected, stall, label)
    }

    /// The body of a file read with `expected` bytes.
    pub(super) fn from_file(file: FileReader, source_url: String, expected: u64, stall: Duration, label: &str) -> Self {
        Self::new(Source::File(file), source_url, Some(expected), stall, label)
    }

    fn new(source: Source, source_url: String, expected: Option<u64>, stall: Duration, label: &str) -> Self {
        let counter = metrics::counter!("bootdepot_origin_received_bytes_total", "origin" => label.to_owned());
        // A reply without requested bytes may still have a body (the error document of a 416). It is ignored.
        let source = if expected == Some(0) { Source::Done } else { source };
        Self { source, source_url, expected, received: 0, stall, counter, record: None, span: None }
    }

    /// Counts bytes and failures in the origin's health record.
    pub(super) fn with_record(self, record: Arc<Record>) -> Self {
        Self { record: Some(record), ..self }
    }

    /// Ends `span` with the body.
    pub(super) fn with_span(self, span: Span) -> Self {
        Self { span: Some(span), ..self }
    }

    /// Returns the next piece, or `None` after exactly the promised number of bytes. After an error, every call returns
    /// the same error. Cancel safe: dropping the future loses no bytes.
    ///
    /// Fails with [`OriginError::Truncated`] if the source sends fewer bytes, with [`OriginError::Stalled`] if it sends
    /// nothing for the stall timeout.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, OriginError> {
        match self.next().await {
            Ok(Some(piece)) => Ok(Some(piece)),
            Ok(None) => {
                self.source = Source::Done;
                self.end_span(None);
                Ok(None)
            }
            Err(error) => {
                if let Some(record) = self.record.take() {
                    record.note_failure(&error);
                }
                self.source = Source::Failed(error.clone());
                self.end_span(Some(&error));
                Err(error)
            }
        }
    }

    fn end_span(&mut self, error: Option<&OriginError>) {
        let Some(span) = self.span.take() else { return };
        span.number("bootdepot.received_bytes", self.received);
        if let Some(error) = error {
            span.fail(error.kind(), error);
        }
    }

    async fn next(&mut self) -> Result<Option<Bytes>, OriginError> {
        loop {
            let piece = match &mut self.source {
                // Bytes after the last one are not waited for. The poll lets hyper see the end and keep the connection.
                Source::Http(response) if self.expected == Some(self.received) => {
                    let _ = response.chunk().now_or_never();
                    None
                }
                Source::Http(response) => match with_timeout(self.stall, &self.source_url, response.chunk()).await? {
                    Ok(piece) => piece,
                    Err(error) => {
                        let expected = self.expected.unwrap_or(self.received + 1);
                        return Err(failure::from_body(error, &self.source_url, self.received, expected));
                    }
                },
                Source::File(file) => with_timeout(self.stall, &self.source_url, file.next(&self.source_url)).await??,
                Source::Done => return Ok(None),
                Source::Failed(error) => return Err(error.clone()),
            };
            let length = piece.as_ref().map_or(0, |piece| piece.len() as u64);
            self.received += length;
            self.counter.increment(length);
            if let Some(record) = &self.record {
                record.note_received(length);
            }
            match (piece, self.expected) {
                (None, Some(expected)) if self.received < expected => {
                    return Err(OriginError::Truncated {
                        source_url: self.source_url.clone(),
                        received: self.received,
                        expected,
                    });
                }
                (None, _) => return Ok(None),
                (Some(piece), _) if piece.is_empty() => {}
                (Some(mut piece), expected) => {
                    let excess = self.received.saturating_sub(expected.unwrap_or(u64::MAX));
                    // At most the length of the piece, which is a usize.
                    piece.truncate(piece.len() - usize::try_from(excess).unwrap_or(piece.len()).min(piece.len()));
                    self.received -= excess;
                    return Ok(Some(piece));
                }
            }
        }
    }
}
