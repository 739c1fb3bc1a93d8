//! One request to a source and its answer: sent, waited for, checked, counted.

use std::time::Duration;

use http::header::{ACCEPT_ENCODING, HeaderMap, HeaderValue, RANGE};
use http::{Method, StatusCode};
use metrics::counter;
use reqwest::{Client, Response};
use url::Url;

use super::body::within;
use super::document::Document;
use super::failure::{self, Peer};
use super::refusal;
use super::reply::{self, Asked, Fault};
use super::stat::Seen;
use super::{Advertised, Body, OriginError, Reply};

/// What the requests of one read have in common.
pub(super) struct Exchange<'a> {
    pub(super) client: &'a Client,
    /// How long a connection may take.
    pub(super) connect: Duration,
    /// How long a source may be silent.
    pub(super) stall: Duration,
    /// The origin's proxy, as shown.
    pub(super) proxy: Option<&'a str>,
    /// The source URL, as shown.
    pub(super) source_url: &'a str,
    /// The origin, as metrics and messages name it.
    pub(super) label: &'a str,
    /// GET, or HEAD where nothing is to be read.
    pub(super) method: Method,
    pub(super) asked: Asked<'a>,
    /// Where to note what the answers say of the server itself.
    pub(super) seen: Option<&'a Seen>,
}

impl Exchange<'_> {
    /// Asks `url` with these header fields besides those of the asked range, and waits for the head of the answer.
    pub(super) async fn send(&self, url: &Url, mut headers: HeaderMap) -> Result<Response, OriginError> {
        // The bytes as they are stored: a digest is of them, and a range of others would be of no use.
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        if let Some(range) = self.asked.on_the_wire() {
            let range = HeaderValue::try_from(format!("bytes={range}"));
            headers.insert(RANGE, range.map_err(|e| self.bad_reply(e.to_string()))?);
        }
        let expect = self.asked.expect.and_then(super::Validator::precondition);
        headers.extend(expect.into_iter().chain(self.asked.unless.and_then(super::Validator::exclusion)));
        let host = host(url);
        let peer = Peer {
            source_url: self.source_url,
            name: url.host_str().unwrap_or_default(),
            host: &host,
            proxy: self.proxy,
            connect: self.connect,
        };
        // reqwest does not say when it has a connection, so the time for one is waited too.
        let request = self.client.request(self.method.clone(), url.clone()).headers(headers).send();
        let sent = within(self.connect + self.stall, self.source_url, request)
            .await
            .and_then(|sent| sent.map_err(|error| failure::of_request(error, &peer)));
        let status = match &sent {
            Ok(response) => response.status().as_str().to_owned(),
            Err(error) => error.word().to_owned(),
        };
        counter!("bootdepot_origin_requests_total", "origin" => self.label.to_owned(), "status" => status).increment(1);
        if let (Ok(response), Some(seen)) = (&sent, self.seen) {
            seen.note(response);
        }
        sent
    }

    /// The reply that the answer is, none where the object is in the state in which it is not wanted; or why it is none.
    /// `bucket` is the bucket of an S3 source and its endpoint.
    pub(super) async fn accept(
        &self,
        mut response: Response,
        identity: &str,
        bucket: Option<(&str, &str)>,
    ) -> Result<Option<Reply>, OriginError> {
        let status = response.status();
        if status == StatusCode::NOT_MODIFIED && self.asked.unless.is_some() {
            return Ok(None);
        }
        let mut said = Document::default();
        if !status.is_success() {
            said = self.document(&mut response).await;
        }
        if !matches!(status, StatusCode::OK | StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE) {
            let host = host(response.url());
            let request =
                refusal::Request { source_url: self.source_url, origin: self.label, host: &host, identity, bucket };
            return Err(refusal::explain(&request, status, response.headers(), &said));
        }
        let head = reply::check(&self.asked, status, response.headers(), said.actual_object_size);
        let head = head.map_err(|fault| match fault {
            Fault::Changed => OriginError::Changed { source_url: self.source_url.to_owned() },
            Fault::Bad(reason) => self.bad_reply(reason),
        })?;
        // Not every source minds the condition.
        if self.asked.unless.is_some() && head.validator.as_ref() == self.asked.unless {
            return Ok(None);
        }
        let source_url = self.source_url.to_owned();
        let length = if self.method == Method::HEAD { 0 } else { head.range.len() };
        Ok(Some(Reply {
            range: head.range,
            total: head.total,
            validator: head.validator,
            last_modified: head.last_modified,
            ignored_range: head.ignored_range,
            advertised: Advertised::of_head(response.headers()),
            body: Body::of_response(response, source_url, length, self.stall, self.label),
        }))
    }

    /// What the body of an answer that is no reply says, as far as it comes.
    async fn document(&self, response: &mut Response) -> Document {
        let mut text = Vec::new();
        while text.len() < Document::MAX_LENGTH {
            let Ok(Ok(Some(piece))) = within(self.stall, self.source_url, response.chunk()).await else { break };
            let room = Document::MAX_LENGTH - text.len();
            text.extend_from_slice(&piece[..piece.len().min(room)]);
        }
        Document::parse(&text)
    }

    fn bad_reply(&self, reason: String) -> OriginError {
        OriginError::BadReply { source_url: self.source_url.to_owned(), reason }
    }
}

/// Begins the counters of an origin at zero: an alert on their increase sees the first of its requests, too.
pub(super) fn begin_counting(label: &str) {
    counter!("bootdepot_origin_requests_total", "origin" => label.to_owned(), "status" => "206").absolute(0);
    counter!("bootdepot_origin_received_bytes_total", "origin" => label.to_owned()).absolute(0);
}

/// Host and port of a URL.
pub(super) fn host(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port_or_known_default().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}
