//! The body of a reply: exactly the number of bytes that the head promised, or an error.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use metrics::Counter;

use super::error::OriginError;
use super::failure;
use super::file_reader::FileReader;
use super::health::Record;
use super::stall::with_timeout;
use crate::span::Span;

/// The body of a reply. Yields exactly `Reply::range.len()` bytes or an error: never more, never silently fewer.
pub struct Body {
    source: Source,
    source_url: String,
    expected: u64,
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
    /// The body of an HTTP response with `expected` bytes.
    pub(super) fn from_response(
        response: reqwest::Response,
        source_url: String,
        expected: u64,
        stall: Duration,
        label: &str,
    ) -> Self {
        Self::new(Source::Http(response), source_url, expected, stall, label)
    }

    /// The body of a file read with `expected` bytes.
    pub(super) fn from_file(file: FileReader, source_url: String, expected: u64, stall: Duration, label: &str) -> Self {
        Self::new(Source::File(file), source_url, expected, stall, label)
    }

    fn new(source: Source, source_url: String, expected: u64, stall: Duration, label: &str) -> Self {
        let counter = metrics::counter!("bootdepot_origin_received_bytes_total", "origin" => label.to_owned());
        // A reply without requested bytes may still have a body (the error document of a 416). It is ignored.
        let source = if expected == 0 { Source::Done } else { source };
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
    /// Fails with [`OriginError::Truncated`] if the source sends fewer or more bytes, with [`OriginError::Stalled`] if it
    /// sends nothing for the stall timeout.
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
                Source::Http(response) => match with_timeout(self.stall, &self.source_url, response.chunk()).await? {
                    Ok(piece) => piece,
                    Err(error) => {
                        return Err(failure::from_body(error, &self.source_url, self.received, self.expected));
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
            let short = piece.is_none() && self.received < self.expected;
            if short || self.received > self.expected {
                return Err(OriginError::Truncated {
                    source_url: self.source_url.clone(),
                    received: self.received,
                    expected: self.expected,
                });
            }
            match piece {
                Some(piece) if piece.is_empty() => {}
                piece => return Ok(piece),
            }
        }
    }
}
