//! Trusted certificates for TLS clients of remote services. It does not know the services.

use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use tokio_rustls::rustls::{ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use tracing::debug;
use x509_cert::Certificate;
use x509_cert::der::Decode as _;

/// The system's trusted certificates. Empty on a machine without a CA bundle, where plain HTTP and a `ca_file` still work.
pub(crate) fn system_roots() -> RootCertStore {
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        debug!(%error, "system certificate unreadable");
    }
    let mut roots = RootCertStore::empty();
    let (trusted, unusable) = roots.add_parsable_certificates(found.certs);
    debug!(trusted, unusable, "system certificates loaded");
    roots
}

/// Adds the certificates (PEM) in `ca_file` to `roots`. The error begins with the path and completes a sentence.
pub(crate) fn with_ca_file(roots: &RootCertStore, ca_file: Option<&Path>) -> Result<RootCertStore, String> {
    let mut roots = roots.clone();
    let Some(path) = ca_file else { return Ok(roots) };
    let failure = |reason: String| format!("{} {reason}", path.display());
    let pem = std::fs::read(path).map_err(|e| failure(format!("cannot be read: {e}")))?;
    let mut added = 0;
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|e| failure(format!("is not PEM: {e}")))?;
        roots.add(certificate).map_err(|e| failure(format!("contains an unusable certificate: {e}")))?;
        added += 1;
    }
    if added == 0 {
        return Err(failure("contains no certificate (-----BEGIN CERTIFICATE-----)".to_owned()));
    }
    Ok(roots)
}

/// A TLS client configuration that trusts `roots`, or any certificate.
pub(crate) fn client_config(roots: RootCertStore, accept_any: bool) -> Result<ClientConfig, Error> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions()?;
    let config = if accept_any {
        builder.dangerous().with_custom_certificate_verifier(Arc::new(AcceptAnyCertificate(provider)))
    } else {
        builder.with_root_certificates(roots)
    };
    Ok(config.with_no_client_auth())
}

/// The end of the validity of a certificate (DER). `None` if it cannot be parsed.
pub(crate) fn expiry(certificate: &[u8]) -> Option<SystemTime> {
    let certificate = Certificate::from_der(certificate).ok()?;
    Some(certificate.tbs_certificate().validity().not_after.to_system_time())
}

/// Accepts any certificate, for `insecure_skip_verify`. The signatures of the handshake are still verified: this needs no
/// configuration, and detects a broken peer.
#[derive(Debug)]
struct AcceptAnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AcceptAnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
