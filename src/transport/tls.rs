//! TLS 1.2 and 1.3 for server connections.

use std::sync::Arc;

use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;

use super::certificate::Certificate;
use super::error::CertificateError;

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
