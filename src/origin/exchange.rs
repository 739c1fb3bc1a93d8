//! One HTTP request to an origin and its reply: sends, waits, checks and counts.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::header::{ACCEPT_ENCODING, HeaderMap, HeaderValue, RANGE};
use http::{Method, StatusCode};
use metrics::counter;
use reqwest::{Client, Response};
use url::Url;

use super::answer::Answer;
use super::body::Body;
use super::checksum::Checksum;
use super::error::{OriginError, Unanswered};
use super::error_document::ErrorDocument;
use super::error_status::{self, Bucket, Refused};
use super::failure::{self, Peer};
use super::head::{self, HeadError};
use super::proxy::ProxyChoice;
use super::reply::Reply;
use super::request::Request;
use super::resolver::StaggeredResolver;
use super::storage::Storage;
use super::validator::Validator;
use crate::asset::SourceTarget;
use crate::trust::CertificateRequests;

/// The common parts of all HTTP requests of one read.
pub(super) struct Exchange<'a> {
    pub(super) client: &'a Client,
    /// Resolves the host's name. `None` if a proxy connects to hosts whose names are resolved here.
    pub(super) resolver: Option<&'a StaggeredResolver>,
    /// The connect timeout.
    pub(super) connect: Duration,
    /// The stall timeout.
    pub(super) stall: Duration,
    /// How connections are made.
    pub(super) via: &'a ProxyChoice,
    /// The origin's proxy, as shown.
    pub(super) proxy: Option<&'a str>,
    /// When servers requested a client certificate.
    pub(super) certificate_requests: &'a CertificateRequests,
    /// Whether a server of this origin has replied in HTTP.
    pub(super) has_replied: &'a AtomicBool,
    /// The source URL, as shown.
    pub(super) source_url: &'a str,
    /// The origin's name in metrics and messages.
    pub(super) label: &'a str,
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
        let host = host(url);
        let peer = Peer {
            source_url: self.source_url,
            url,
            host: &host,
            via: self.via,
            proxy: self.proxy,
            connect: self.connect,
            certificate_requests: self.certificate_requests,
            has_replied: self.has_replied.load(Ordering::Relaxed),
        };
        let name = url.host_str().unwrap_or_default();
        let port = url.port_or_known_default().unwrap_or_default();
        if let Some(resolver) = self.resolver {
            resolver.note_port(name, port);
        }
        // reqwest does not report when it has a connection, so the timeout includes the connect timeout. Without a connection,
        // the request has failed by then.
        let longest = self.connect + self.stall;
        let sending = self.client.request(self.request.method.clone(), url.clone()).headers(headers).send();
        let sent = match tokio::time::timeout(longest, sending).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) => Err(failure::from_request(error, &peer).await),
            Err(_) => Err(OriginError::NoAnswer { host: peer.shown(), step: Unanswered::Request, after: longest }),
        };
        if let (Some(resolver), Err(OriginError::Connect { .. } | OriginError::NoAnswer { .. })) =
            (self.resolver, &sent)
        {
            resolver.forget(name, port).await;
        }
        let status = match &sent {
            Ok(response) => response.status().as_str().to_owned(),
            Err(error) => error.kind().to_owned(),
        };
        counter!("bootdepot_origin_requests_total", "origin" => self.label.to_owned(), "status" => status).increment(1);
        if sent.is_ok() {
            self.has_replied.store(true, Ordering::Relaxed);
        }
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
            document = self.error_document(&mut response).await.without(sender.fields);
        }
        if !matches!(status, StatusCode::OK | StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE) {
            let host = host(response.url());
            let refused = Refused {
                source_url: self.source_url,
                versioned: self.request.names_version(),
                origin: self.label,
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
            let (source_url, answer) = (self.source_url.to_owned(), Answer::from_code("HEAD"));
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
        let source_url = self.source_url.to_owned();
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
            checksum: Checksum::from_head(response.headers()),
            body: Body::from_response(response, source_url, length, self.stall, self.label),
        }))
    }

    /// Describes a reply with the validator `found` where another was required.
    fn disagreement(&self, response: &Response, found: Option<&Validator>) -> OriginError {
        let host = host(response.url());
        let what = format!("{host} has {}", Validator::difference(self.request.if_match, found));
        let source = self.request.source.target();
        let redirected = matches!(source, SourceTarget::Http(url) if url.origin() != response.url().origin());
        OriginError::disagreement(self.source_url, redirected, &what)
    }

    /// Reads the body of an error reply, as far as it arrives.
    async fn error_document(&self, response: &mut Response) -> ErrorDocument {
        let mut text = Vec::new();
        let reading = async {
            while text.len() < ErrorDocument::MAX_LENGTH
                && let Ok(Some(piece)) = response.chunk().await
            {
                let room = ErrorDocument::MAX_LENGTH - text.len();
                text.extend_from_slice(&piece[..piece.len().min(room)]);
            }
        };
        // One timeout for the whole: the document only explains the status.
        let _ = tokio::time::timeout(self.stall, reading).await;
        ErrorDocument::parse(response.headers(), &text)
    }

    fn invalid_reply(&self, reason: String) -> OriginError {
        OriginError::BadReply { source_url: self.source_url.to_owned(), reason, source: None }
    }
}

/// Registers the counters of an origin at zero, so that an alert on their increase sees the first request.
pub(super) fn register_counters(label: &str) {
    counter!("bootdepot_origin_requests_total", "origin" => label.to_owned(), "status" => "206").absolute(0);
    counter!("bootdepot_origin_received_bytes_total", "origin" => label.to_owned()).absolute(0);
}

/// Returns host and port of a URL.
pub(super) fn host(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port_or_known_default().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}
