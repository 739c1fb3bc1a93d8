//! TLS 1.2 and 1.3 for server connections.

use std::sync::Arc;

use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;

use super::certificate::Certificate;
use super::error::CertificateError;
use super::request_id::RequestId;

/// The ALPN id of HTTP/2 over TLS (RFC 9113 3.2).
pub(super) const HTTP2: &[u8] = b"h2";

/// The ALPN id of HTTP/1.1 (RFC 7301 6).
const HTTP1: &[u8] = b"http/1.1";

/// Returns an acceptor that presents the current content of `certificate` at each handshake.
pub(crate) fn acceptor(certificate: &Arc<Certificate>) -> Result<TlsAcceptor, CertificateError> {
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| certificate.unusable(error))?
        .with_no_client_auth()
        .with_cert_resolver(Arc::clone(certificate) as _);
    config.alpn_protocols = vec![HTTP2.to_vec(), HTTP1.to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// Bytes that rustls may hold for a socket that has no room: one record of the largest size. Its default is 64 KiB.
pub(super) const MAX_BUFFER: usize = 16 << 10;

/// The same, for the connections of an address that holds its share of the memory budget.
pub(super) const MIN_BUFFER: usize = 4 << 10;

/// Whether a connection that begins with this byte speaks TLS: the content type of a handshake (RFC 8446 5.1).
pub(super) fn is_handshake(first_byte: u8) -> bool {
    first_byte == 22
}

/// Whether a connection that begins with this byte speaks plain HTTP: methods begin with a capital letter.
pub(super) fn is_plain_http(first_byte: u8) -> bool {
    first_byte.is_ascii_uppercase()
}

/// The response to plain HTTP on a TLS port.
pub(super) fn plain_http_response(id: RequestId) -> String {
    let text = "this port speaks TLS; use https";
    format!(
        "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\n\
         X-Request-Id: {id}\r\nConnection: close\r\n\r\n{text}",
        text.len()
    )
}
