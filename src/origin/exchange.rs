//! One HTTP request to an origin and its reply: sends, waits, checks and counts.

use http::header::{ACCEPT_ENCODING, HeaderMap, HeaderValue, RANGE};
use http::{Method, StatusCode};
use metrics::counter;
use reqwest::Response;
use url::Url;

use super::answer::Answer;
use super::body::Body;
use super::checksum::{self, Checksum};
use super::error::OriginError;
use super::error_document::ErrorDocument;
use super::error_status::{self, Bucket, Refused};
use super::head::{self, HeadError};
use super::outbound::{Outbound, host};
use super::reply::Reply;
use super::request::Request;
use super::storage::Storage;
use super::validator::Validator;
use crate::asset::SourceTarget;

/// A read over HTTP.
pub(super) struct Exchange<'a> {
    pub(super) outbound: Outbound<'a>,
    pub(super) request: Request<'a>,
}

/// The sender of a request, for the messages about its reply.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sender<'a> {
    /// The identity of the request.
    pub(super) identity: &'a str,
    /// The bucket of an S3 source.
    pub(super) bucket: Option<Bucket<'a>>,
    /// The header fields of the request that may hold secrets.
    pub(super) fields: &'a HeaderMap,
}

impl Exchange<'_> {
    /// Sends the request to `url` with additional header fields, and waits for the head of the reply.
    pub(super) async fn send(&self, url: &Url, mut headers: HeaderMap) -> Result<Response, OriginError> {
        // Digests and ranges refer to the bytes as stored.
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        if let Some(range) = self.request.wire_range() {
            let range = HeaderValue::try_from(format!("bytes={range}"));
            headers.insert(RANGE, range.map_err(|e| self.invalid_reply(e.to_string()))?);
        }
        headers.extend(self.request.if_match.and_then(Validator::if_match));
        headers.extend(self.request.if_none_match.and_then(Validator::if_none_match));
        let sent = self.outbound.send(self.request.method.clone(), url, headers).await;
        if let (Ok(response), Some(server)) = (&sent, self.request.server) {
            server.record(response);
        }
        sent
    }

    /// Turns a response into a checked reply. Returns `None` if the object still has the validator of `if_none_match`.
    pub(super) async fn reply(&self, mut response: Response, sender: Sender<'_>) -> Result<Option<Reply>, OriginError> {
        let status = response.status();
        if status == StatusCode::NOT_MODIFIED && self.request.if_none_match.is_some() {
            return Ok(None);
        }
        let mut document = ErrorDocument::default();
        if !status.is_success() {
            document = self.outbound.error_document(&mut response).await.without(sender.fields);
        }
        if !matches!(status, StatusCode::OK | StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE) {
            let host = host(response.url());
            let refused = Refused {
                source_url: self.outbound.source_url,
                versioned: self.request.names_version(),
                origin: self.outbound.label,
                host: &host,
                identity: sender.identity,
                bucket: sender.bucket,
            };
            return Err(error_status::classify(&refused, status, response.headers(), &document));
        }
        if self.request.method == Method::HEAD
            && let Some(Storage { class, restore }) =
                Storage::from_head(response.headers()).filter(Storage::must_be_restored)
        {
            let (source_url, answer) = (self.outbound.source_url.to_owned(), Answer::from_code("HEAD"));
            return Err(OriginError::Archived { source_url, class: Some(class), restore, answer });
        }
        let head = head::check(&self.request, status, response.headers(), document.actual_object_size);
        let head = head.map_err(|error| match error {
            HeadError::Changed(found) => self.disagreement(&response, found.as_ref()),
            HeadError::Invalid(reason) => self.invalid_reply(reason),
        })?;
        // Some servers ignore the condition.
        if self.request.if_none_match.is_some() && head.validator.as_ref() == self.request.if_none_match {
            return Ok(None);
        }
        let source_url = self.outbound.source_url.to_owned();
        let length = match head.range.end {
            _ if self.request.method == Method::HEAD => Some(0),
            u64::MAX => None,
            _ => Some(head.range.len()),
        };
        Ok(Some(Reply {
            range: head.range,
            total: head.total,
            validator: head.validator,
            last_modified: head.last_modified,
            ignored_range: head.ignored_range,
            checksums: Checksum::all_from_head(response.headers()),
            composite: checksum::composite(response.headers()),
            body: Body::from_response(response, source_url, length, self.outbound.stall, self.outbound.label),
        }))
    }

    /// Describes a reply with the validator `found` where another was required.
    fn disagreement(&self, response: &Response, found: Option<&Validator>) -> OriginError {
        let host = host(response.url());
        let what = format!("{host} has {}", Validator::difference(self.request.if_match, found));
        let source = self.request.source.target();
        let redirected = matches!(source, SourceTarget::Http(url) if url.origin() != response.url().origin());
        OriginError::disagreement(self.outbound.source_url, redirected, &what)
    }

    fn invalid_reply(&self, reason: String) -> OriginError {
        OriginError::BadReply { source_url: self.outbound.source_url.to_owned(), reason, source: None }
    }
}

/// Registers the counters of an origin at zero, so that an alert on their increase sees the first request.
pub(super) fn register_counters(label: &str) {
    counter!("bootdepot_origin_requests_total", "origin" => label.to_owned(), "status" => "206").absolute(0);
    counter!("bootdepot_origin_received_bytes_total", "origin" => label.to_owned()).absolute(0);
}
