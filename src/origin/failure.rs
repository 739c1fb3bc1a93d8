//! Classifies failed requests: from reqwest's errors, and from error statuses with their S3 error documents, to an
//! [`OriginError`].
//!
//! No URL from reqwest is ever shown: its query could hold a signature.

use std::error::Error;
use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::StatusCode;
use http::header::{HeaderMap, LOCATION, RETRY_AFTER};
use jiff::Timestamp;
use rustls_pki_types::UnixTime;
use tokio_rustls::rustls::{self, CertificateError};

use super::error::{OriginError, TlsFault};
use super::error_document::ErrorDocument;
use crate::error_chain::{RootCause, causes, root_cause};

/// The peer of a request that got no reply.
#[derive(Debug, Clone, Copy)]
pub(super) struct Peer<'a> {
    /// The source URL as shown.
    pub(super) source_url: &'a str,
    /// The host's name.
    pub(super) name: &'a str,
    /// Host and port.
    pub(super) host: &'a str,
    /// The origin's proxy (host and port), which receives the connection.
    pub(super) proxy: Option<&'a str>,
    /// The connect timeout.
    pub(super) connect: Duration,
}

/// The request that received an error status.
#[derive(Debug, Clone, Copy)]
pub(super) struct Refused<'a> {
    /// The source URL as shown.
    pub(super) source_url: &'a str,
    /// The origin's `match`, or the host.
    pub(super) origin: &'a str,
    /// Host and port of the server.
    pub(super) host: &'a str,
    /// The identity of the request.
    pub(super) identity: &'a str,
    /// The bucket and its endpoint, for an S3 source.
    pub(super) bucket: Option<(&'a str, &'a str)>,
}

/// Classifies a request that got no reply head.
pub(super) fn from_request(error: reqwest::Error, peer: &Peer<'_>) -> OriginError {
    let error = error.without_url();
    let through = |host: &str| match peer.proxy {
        Some(proxy) => format!("{host} through the proxy {proxy}"),
        None => host.to_owned(),
    };
    let reason = root_cause(&error).to_string();
    let source_url = peer.source_url.to_owned();
    if let Some(tls_error) = find::<rustls::Error>(&error) {
        let (fault, reason) = tls(tls_error);
        OriginError::Tls { host: peer.host.to_owned(), fault, reason, source: Some(Arc::new(RootCause(error))) }
    } else if error.is_dns() {
        // With a proxy we resolve the proxy's name, and the proxy resolves the host's.
        let host = peer.proxy.unwrap_or(peer.name).to_owned();
        OriginError::Dns { host, reason, source: Some(Arc::new(RootCause(error))) }
    } else if error.is_connect() {
        let timed_out = error.is_timeout() && find::<io::Error>(&error).is_none();
        let reason = if timed_out { format!("no connection within {} s", peer.connect.as_secs_f32()) } else { reason };
        OriginError::Connect { host: through(peer.host), reason, source: Some(Arc::new(RootCause(error))) }
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

/// Classifies an error status.
pub(super) fn from_status(
    request: &Refused<'_>,
    status: StatusCode,
    headers: &HeaderMap,
    document: &ErrorDocument,
) -> OriginError {
    let source_url = request.source_url.to_owned();
    let code = document.code.as_deref();
    let denied = |code: String| OriginError::AccessDenied {
        source_url: request.source_url.to_owned(),
        origin: request.origin.to_owned(),
        identity: request.identity.to_owned(),
        code,
    };
    let other =
        |message| OriginError::Status { source_url: request.source_url.to_owned(), status: status.as_u16(), message };
    match (code, status.as_u16()) {
        (Some("NoSuchBucket"), _) => {
            let (bucket, endpoint) =
                request.bucket.unwrap_or((document.bucket_name.as_deref().unwrap_or("?"), request.host));
            OriginError::NoSuchBucket { bucket: bucket.to_owned(), endpoint: endpoint.to_owned() }
        }
        (Some("NoSuchKey" | "NoSuchVersion"), _) | (None, 404 | 410) => OriginError::NotFound { source_url },
        (Some("RequestTimeTooSkewed"), _) => denied("RequestTimeTooSkewed: check this machine's clock".to_owned()),
        (Some("InvalidObjectState"), _) => other(Some(
            "InvalidObjectState: the object is archived; restore it to a class that can be read at once".to_owned(),
        )),
        // For this code only, the message may add something: that a presigned URL has expired.
        (Some("AccessDenied"), _) => match document.message.as_deref() {
            Some("Request has expired") => denied("AccessDenied: the presigned URL has expired".to_owned()),
            _ => denied("AccessDenied".to_owned()),
        },
        (
            Some(
                "PermanentRedirect"
                | "TemporaryRedirect"
                | "AuthorizationHeaderMalformed"
                | "IllegalLocationConstraintException",
            ),
            _,
        )
        | (_, 300..=399) => other(redirection(headers, document)),
        (Some("SlowDown" | "TooManyRequests" | "RequestLimitExceeded"), _) | (_, 429 | 503) => OriginError::Throttled {
            host: request.host.to_owned(),
            code: code.map_or_else(|| status.as_u16().to_string(), str::to_owned),
            retry_after: retry_after(headers, SystemTime::now()),
        },
        (_, 412) => {
            let what = format!("{} answered 412 to the validator of an earlier reply", request.host);
            OriginError::disagreement(request.source_url, false, &what)
        }
        (Some(code @ ("ExpiredToken" | "InvalidToken")), 400) | (Some(code), 401 | 403) => denied(code.to_owned()),
        (None, 401 | 403) => denied(status.as_u16().to_string()),
        (Some(_), 404 | 410) => OriginError::NotFound { source_url },
        _ => other(document.summary()),
    }
}

/// Describes where the object is instead.
fn redirection(headers: &HeaderMap, document: &ErrorDocument) -> Option<String> {
    let header = |name: &str| headers.get(name).and_then(|v| v.to_str().ok());
    if let Some(region) = header("x-amz-bucket-region").or(document.region.as_deref()) {
        return Some(format!("the bucket is in the region {region:?}; set the origin's region"));
    }
    if let Some(endpoint) = &document.endpoint {
        return Some(format!("the bucket is at the endpoint {endpoint:?}; set the origin's endpoint"));
    }
    // The query could hold a signature.
    let location = header(LOCATION.as_str()).map(|location| location.split('?').next().unwrap_or_default());
    location
        .map(|location| format!("it redirects to {location:?}; set the origin's endpoint or region"))
        .or_else(|| document.summary())
}

/// Returns the delay from `now` that `Retry-After` requests (RFC 9110 10.2.3: seconds, or a date).
fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    match text.parse() {
        Ok(seconds) => Some(Duration::from_secs(seconds)),
        Err(_) => Some(httpdate::parse_http_date(text).ok()?.duration_since(now).unwrap_or_default()),
    }
}

fn tls(error: &rustls::Error) -> (TlsFault, String) {
    let day = |at: UnixTime| {
        let at = i64::try_from(at.as_secs()).ok().and_then(|seconds| Timestamp::from_second(seconds).ok());
        at.map_or_else(String::new, |at| format!(" {}", at.strftime("%Y-%m-%d %H:%M UTC")))
    };
    match error {
        rustls::Error::InvalidCertificate(error) => match error {
            CertificateError::UnknownIssuer => (
                TlsFault::UnknownIssuer,
                "its certificate is signed by an authority that this machine does not trust".to_owned(),
            ),
            CertificateError::ExpiredContext { not_after, .. } => {
                (TlsFault::Dates, format!("its certificate expired{}", day(*not_after)))
            }
            CertificateError::NotValidYetContext { not_before, .. } => {
                (TlsFault::Dates, format!("its certificate is not valid before{}", day(*not_before)))
            }
            CertificateError::Expired | CertificateError::NotValidYet => (TlsFault::Dates, error.to_string()),
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                (TlsFault::Name, error.to_string())
            }
            other => (TlsFault::Other, other.to_string()),
        },
        rustls::Error::InvalidMessage(_) => (TlsFault::NoTls, format!("it does not speak TLS on this port ({error})")),
        other => (TlsFault::Other, other.to_string()),
    }
}

fn find<T: Error + 'static>(error: &reqwest::Error) -> Option<&T> {
    causes(error).find_map(|cause| cause.downcast_ref())
}

#[cfg(test)]
mod tests;
