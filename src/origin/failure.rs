//! Requests that got no answer, by meaning: from reqwest's chain of causes to an [`OriginError`].
//!
//! No URL of reqwest's is ever shown: its query could hold a signature.

use std::error::Error;
use std::io;
use std::time::Duration;

use jiff::Timestamp;
use rustls_pki_types::UnixTime;
use tokio_rustls::rustls::{self, CertificateError};

use super::{OriginError, TlsFault};

/// Who was asked.
#[derive(Debug, Clone, Copy)]
pub(super) struct Peer<'a> {
    /// The source URL as shown.
    pub(super) source_url: &'a str,
    /// The host's name.
    pub(super) name: &'a str,
    /// Host and port.
    pub(super) host: &'a str,
    /// The origin's proxy (host and port), with which the connection is made.
    pub(super) proxy: Option<&'a str>,
    /// How long a connection was waited for.
    pub(super) connect: Duration,
}

/// Why no head of a reply came.
pub(super) fn of_request(error: reqwest::Error, peer: &Peer<'_>) -> OriginError {
    let error = &error.without_url();
    let through = |host: &str| match peer.proxy {
        Some(proxy) => format!("{host} through the proxy {proxy}"),
        None => host.to_owned(),
    };
    if let Some(error) = find::<rustls::Error>(error) {
        let (fault, reason) = tls(error);
        OriginError::Tls { host: peer.host.to_owned(), fault, reason }
    } else if error.is_dns() {
        // With a proxy it is the proxy's name that we look up; the host's is the proxy's business.
        let host = peer.proxy.unwrap_or(peer.name).to_owned();
        OriginError::Dns { host, reason: root(error).to_string() }
    } else if error.is_connect() {
        let reason = if error.is_timeout() && find::<io::Error>(error).is_none() {
            format!("no connection within {} s", peer.connect.as_secs_f32())
        } else {
            root(error).to_string()
        };
        OriginError::Connect { host: through(peer.host), reason }
    } else if find::<hyper::Error>(error).is_some_and(hyper::Error::is_parse) {
        let reason = format!("it does not speak HTTP: {}", root(error));
        OriginError::BadReply { source_url: peer.source_url.to_owned(), reason }
    } else {
        OriginError::Io { source_url: peer.source_url.to_owned(), reason: root(error).to_string() }
    }
}

/// Why a body broke off after `received` of `expected` bytes.
pub(super) fn of_body(error: reqwest::Error, source_url: &str, received: u64, expected: u64) -> OriginError {
    let error = &error.without_url();
    let source_url = source_url.to_owned();
    let cut_short = find::<io::Error>(error).is_some_and(|e| e.kind() == io::ErrorKind::UnexpectedEof)
        || find::<hyper::Error>(error).is_some_and(hyper::Error::is_incomplete_message);
    if cut_short {
        OriginError::Truncated { source_url, received, expected }
    } else {
        OriginError::Io { source_url, reason: root(error).to_string() }
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
                "its certificate is signed by an authority that is not trusted here".to_owned(),
            ),
            CertificateError::ExpiredContext { not_after, .. } => {
                (TlsFault::Dates, format!("its certificate expired{}", day(*not_after)))
            }
            CertificateError::NotValidYetContext { not_before, .. } => {
                (TlsFault::Dates, format!("its certificate is not good before{}", day(*not_before)))
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

/// The error and its causes, down to the first. What an [`io::Error`] wraps is a cause that its `source` skips.
fn causes(error: &reqwest::Error) -> impl Iterator<Item = &(dyn Error + 'static)> {
    std::iter::successors(Some(error as &(dyn Error + 'static)), |&error| {
        match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(inner) => Some(inner as &(dyn Error + 'static)),
            None => error.source(),
        }
    })
}

fn find<T: Error + 'static>(error: &reqwest::Error) -> Option<&T> {
    causes(error).find_map(|cause| cause.downcast_ref())
}

fn root(error: &reqwest::Error) -> &(dyn Error + 'static) {
    causes(error).last().unwrap_or(error)
}
