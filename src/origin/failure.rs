//! Classifies requests that got no reply, and bodies that broke off: from reqwest's errors to an [`OriginError`].
//!
//! No URL from reqwest is ever shown: its query could hold a signature.

use std::error::Error;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use url::Url;

use super::error::{OriginError, Unanswered};
use super::peer_probe;
use super::proxy::ProxyChoice;
use crate::error_chain::{RootCause, causes, root_cause};
use crate::trust::{self, CertificateRequests, TlsFault};

/// The peer of a request that got no reply.
#[derive(Debug, Clone, Copy)]
pub(super) struct Peer<'a> {
    /// The source URL as shown.
    pub(super) source_url: &'a str,
    /// The requested URL.
    pub(super) url: &'a Url,
    /// Host and port of the URL.
    pub(super) host: &'a str,
    /// How the connection is made.
    pub(super) via: &'a ProxyChoice,
    /// The origin's proxy (host and port), which receives the connection.
    pub(super) proxy: Option<&'a str>,
    /// The connect timeout.
    pub(super) connect: Duration,
    /// The requests for client certificates.
    pub(super) certificate_requests: &'a CertificateRequests,
    /// Whether the origin's server has replied in HTTP before.
    pub(super) has_replied: bool,
}

impl Peer<'_> {
    /// Whether the request was sent in plain HTTP to a server that may speak TLS only.
    fn may_expect_tls(&self) -> bool {
        self.url.scheme() == "http" && !self.has_replied && matches!(self.via, ProxyChoice::Direct)
    }

    /// Whether a server of this origin requested a client certificate during the last connection attempts.
    fn has_requested_certificate(&self) -> bool {
        self.certificate_requests.within(self.connect)
    }

    /// The host as shown, with the proxy.
    pub(super) fn shown(&self) -> String {
        match self.proxy {
            Some(proxy) => format!("{} through the proxy {proxy}", self.host),
            None => self.host.to_owned(),
        }
    }
}

/// Classifies a request that got no reply head. Where the error leaves open what the peer does, connects to it once more.
pub(super) async fn from_request(error: reqwest::Error, peer: &Peer<'_>) -> OriginError {
    let error = error.without_url();
    let reason = root_cause(&error).to_string();
    let source_url = peer.source_url.to_owned();
    let is_https = peer.url.scheme() == "https";
    if let Some(tls_error) = trust::find(&error) {
        let (fault, reason) = match trust::describe(tls_error) {
            // Before TLS 1.3, the alert for a missing client certificate is one for any failure.
            (TlsFault::Other, _) if trust::is_alert(tls_error) && peer.has_requested_certificate() => {
                let reason = "it requests a client certificate, and refuses the handshake without one";
                (TlsFault::ClientCertificate, reason.to_owned())
            }
            described => described,
        };
        OriginError::Tls { host: peer.host.to_owned(), fault, reason, source: Some(Arc::new(RootCause(error))) }
    } else if error.is_dns() {
        // With a proxy we resolve the proxy's name, and the proxy resolves the host's.
        let host = peer.proxy.unwrap_or(peer.url.host_str().unwrap_or_default()).to_owned();
        OriginError::Dns { host, reason, source: Some(Arc::new(RootCause(error))) }
    } else if error.is_connect() && error.is_timeout() && find::<io::Error>(&error).is_none() {
        // The timeout is for the connection and its handshake, and the error does not say how far they came.
        let handshake = match peer.via {
            ProxyChoice::Configured(_) => Some(Unanswered::Tunnel),
            ProxyChoice::Direct if is_https => Some(Unanswered::Handshake),
            ProxyChoice::Direct | ProxyChoice::Environment { .. } => None,
        };
        match (handshake, peer.via.dialed(peer.url)) {
            (Some(Unanswered::Handshake), _) if peer_probe::speaks_http(peer.url).await => {
                let reason = "it speaks plain HTTP on this port".to_owned();
                let source = Some(Arc::new(RootCause(error)) as _);
                OriginError::Tls { host: peer.host.to_owned(), fault: TlsFault::NoTls, reason, source }
            }
            (Some(step), Some(address)) if peer_probe::accepts(&address).await => {
                OriginError::NoAnswer { host: peer.shown(), step, after: peer.connect }
            }
            _ => OriginError::Connect {
                host: peer.shown(),
                reason: format!("no connection within {} s", peer.connect.as_secs_f32()),
                source: Some(Arc::new(RootCause(error))),
            },
        }
    } else if error.is_connect() && !broke_off(&error) {
        OriginError::Connect { host: peer.shown(), reason, source: Some(Arc::new(RootCause(error))) }
    } else if is_https && broke_off(&error) && peer.has_requested_certificate() {
        let reason = "it requests a client certificate, and ended the connection without one".to_owned();
        let source = Some(Arc::new(RootCause(error)) as _);
        OriginError::Tls { host: peer.host.to_owned(), fault: TlsFault::ClientCertificate, reason, source }
    } else if error.is_connect() {
        let reason = if is_https {
            format!(
                "it ended the connection during the TLS handshake ({reason}); if it speaks plain HTTP, write http://"
            )
        } else {
            reason
        };
        OriginError::Connect { host: peer.shown(), reason, source: Some(Arc::new(RootCause(error))) }
    } else if peer.may_expect_tls() && peer_probe::speaks_tls(peer.url).await {
        let reason = "it speaks TLS on this port; write https://".to_owned();
        OriginError::BadReply { source_url, reason, source: Some(Arc::new(RootCause(error))) }
    } else if find::<hyper::Error>(&error).is_some_and(hyper::Error::is_parse) {
        let reason = format!("it does not speak HTTP: {reason}");
        OriginError::BadReply { source_url, reason, source: Some(Arc::new(RootCause(error))) }
    } else {
        OriginError::Io { source_url, reason, source: Some(Arc::new(RootCause(error))) }
    }
}

/// Classifies a body that broke off after `received` of `expected` bytes.
pub(super) fn from_body(error: reqwest::Error, source_url: &str, received: u64, expected: u64) -> OriginError {
    let error = error.without_url();
    let source_url = source_url.to_owned();
    let cut_short = find::<io::Error>(&error).is_some_and(|e| e.kind() == io::ErrorKind::UnexpectedEof)
        || find::<hyper::Error>(&error).is_some_and(hyper::Error::is_incomplete_message);
    if cut_short {
        OriginError::Truncated { source_url, received, expected }
    } else {
        OriginError::Io { source_url, reason: root_cause(&error).to_string(), source: Some(Arc::new(RootCause(error))) }
    }
}

/// Whether the peer ended the connection.
fn broke_off(error: &reqwest::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    let is_broken =
        |e: &io::Error| matches!(e.kind(), BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof);
    // An outer error may have the kind `Other`.
    causes(error).filter_map(|cause| cause.downcast_ref()).any(is_broken)
        || find::<hyper::Error>(error).is_some_and(hyper::Error::is_incomplete_message)
}

fn find<T: Error + 'static>(error: &reqwest::Error) -> Option<&T> {
    causes(error).find_map(|cause| cause.downcast_ref())
}
