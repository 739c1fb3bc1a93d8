//! Trusted certificates for TLS clients of remote services, and plain words for handshakes that fail. It does not know the
//! services.

mod anchors;
mod certificate;
mod client_certificate;
mod fault;
mod problem;
mod tls_error;
mod verifier;

use std::sync::Arc;

use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::{ClientConfig, Error};

use self::anchors::Trust;
pub(crate) use self::anchors::{system_roots, with_ca_file};
pub(crate) use self::certificate::expiry;
pub(crate) use self::client_certificate::CertificateRequests;
pub use self::fault::TlsFault;
pub(crate) use self::tls_error::{describe, find, is_alert};
use self::verifier::{AcceptAnyCertificate, Verifier};

/// A TLS client configuration that trusts these certificates, or any certificate.
pub(crate) fn client_config(trust: impl Into<Trust>, accept_any: bool) -> Result<ClientConfig, Error> {
    client_config_noting(trust, accept_any, &Arc::default())
}

/// A TLS client configuration as from [`client_config`], which notes in `requests` when a server requests a certificate.
pub(crate) fn client_config_noting(
    trust: impl Into<Trust>,
    accept_any: bool,
    requests: &Arc<CertificateRequests>,
) -> Result<ClientConfig, Error> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions()?;
    let builder = if accept_any {
        builder.dangerous().with_custom_certificate_verifier(Arc::new(AcceptAnyCertificate::new(provider)))
    } else {
        builder.dangerous().with_custom_certificate_verifier(Arc::new(Verifier::new(trust.into(), provider)))
    };
    Ok(builder.with_client_cert_resolver(Arc::<CertificateRequests>::clone(requests)))
}
