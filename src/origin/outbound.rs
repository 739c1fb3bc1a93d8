//! The connection side of an origin's HTTP requests: sends one, waits for the head of its reply, and counts it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::Method;
use http::header::HeaderMap;
use metrics::counter;
use reqwest::{Client, Response};
use url::Url;

use super::error::{OriginError, Unanswered};
use super::error_document::ErrorDocument;
use super::failure::{self, Peer};
use super::payload::{Payload, Progress};
use super::proxy::ProxyChoice;
use super::resolver::StaggeredResolver;
use crate::trust::CertificateRequests;

/// The common parts of all HTTP requests for one source.
pub(super) struct Outbound<'a> {
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
}

impl Outbound<'_> {
    /// Sends a request without a body, and waits for the head of the reply.
    pub(super) async fn send(&self, method: Method, url: &Url, headers: HeaderMap) -> Result<Response, OriginError> {
        self.transmit(method, url, headers, None, self.stall).await
    }

    /// Sends a request, and waits for the head of the reply: at most `answer_timeout` after the whole body was sent, and at
    /// most the stall timeout for each piece of it.
    pub(super) async fn transmit(
        &self,
        method: Method,
        url: &Url,
        headers: HeaderMap,
        payload: Option<Payload>,
        answer_timeout: Duration,
    ) -> Result<Response, OriginError> {
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
        let progress = payload.as_ref().map_or_else(Progress::all_sent, Payload::progress);
        let mut request = self.client.request(method, url.clone()).headers(headers);
        if let Some(payload) = payload {
            request = request.body(reqwest::Body::wrap(payload));
        }
        // reqwest does not report when it has a connection, so each timeout includes the connect timeout. Without a connection,
        // the request has failed by then.
        let (sending, answering) = (self.connect + self.stall, self.connect + answer_timeout);
        let sent = match progress.limit(request.send(), sending, answering).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) => Err(failure::from_request(error, &peer).await),
            Err(after) => Err(OriginError::NoAnswer { host: peer.shown(), step: Unanswered::Request, after }),
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
        sent
    }

    /// Reads the body of an error reply, as far as it arrives.
    pub(super) async fn error_document(&self, response: &mut Response) -> ErrorDocument {
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
}

/// Returns host and port of a URL.
pub(super) fn host(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port_or_known_default().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}
