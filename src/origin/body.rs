//! The bytes of a reply, counted: exactly as many as its head promised, or an error.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use metrics::Counter;

use super::file::FilePieces;
use super::health::Record;
use super::{OriginError, failure};
use crate::span::Span;

/// The bytes of a reply. Yields exactly `Reply::range.len()` bytes, or an error: never more, never silently fewer.
pub struct Body {
    source: Source,
    source_url: String,
    expected: u64,
    received: u64,
    stall: Duration,
    counter: Counter,
    record: Option<Arc<Record>>,
    /// What the read took, until its last byte.
    span: Option<Span>,
}

enum Source {
    Http(reqwest::Response),
    File(FilePieces),
    /// All is handed out.
    Done,
    /// It failed; it will not end well when asked again.
    Failed(OriginError),
}

impl Body {
    /// The `expected` bytes of an HTTP response.
    pub(super) fn of_response(
        response: reqwest::Response,
        source_url: String,
        expected: u64,
        stall: Duration,
        label: &str,
    ) -> Self {
        Self::new(Source::Http(response), source_url, expected, stall, label)
    }

    /// The `expected` bytes of a file.
    pub(super) fn of_file(file: FilePieces, source_url: String, expected: u64, stall: Duration, label: &str) -> Self {
        Self::new(Source::File(file), source_url, expected, stall, label)
    }

    fn new(source: Source, source_url: String, expected: u64, stall: Duration, label: &str) -> Self {
        let counter = metrics::counter!("bootdepot_origin_received_bytes_total", "origin" => label.to_owned());
        // Whatever a source sends along with nothing (the document of a 416, say) is of no concern.
        let source = if expected == 0 { Source::Done } else { source };
        Self { source, source_url, expected, received: 0, stall, counter, record: None, span: None }
    }

    /// The same, which keeps this book of its origin.
    pub(super) fn with_record(self, record: Arc<Record>) -> Self {
        Self { record: Some(record), ..self }
    }

    /// The same, a part of what `span` tells.
    pub(super) fn with_span(self, span: Span) -> Self {
        Self { span: Some(span), ..self }
    }

    /// The next piece; `None` after exactly the promised number of bytes. An error is final: asked again, it comes again.
    /// Dropping the future loses no bytes.
    ///
    /// Ends with [`OriginError::Truncated`] where the source ended early or sent too much, [`OriginError::Stalled`]
    /// where it sent nothing for the stall timeout.
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
                    record.failed(&error);
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
            span.fail(error.word(), error);
        }
    }

    async fn next(&mut self) -> Result<Option<Bytes>, OriginError> {
        loop {
            let piece = match &mut self.source {
                Source::Http(response) => match within(self.stall, &self.source_url, response.chunk()).await? {
                    Ok(piece) => piece,
                    Err(error) => {
                        return Err(failure::of_body(error, &self.source_url, self.received, self.expected));
                    }
                },
                Source::File(file) => within(self.stall, &self.source_url, file.next(&self.source_url)).await??,
                Source::Done => return Ok(None),
                Source::Failed(error) => return Err(error.clone()),
            };
            let length = piece.as_ref().map_or(0, |piece| piece.len() as u64);
            self.received += length;
            self.counter.increment(length);
            if let Some(record) = &self.record {
                record.received(length);
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

/// What the source gives within the stall timeout.
pub(super) async fn within<T>(
    stall: Duration,
    source_url: &str,
    source: impl Future<Output = T>,
) -> Result<T, OriginError> {
    tokio::time::timeout(stall, source)
        .await
        .map_err(|_| OriginError::Stalled { source_url: source_url.to_owned(), after: stall })
}
