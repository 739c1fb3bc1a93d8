//! Which certificates the clients of remote services trust. It knows none of the services.

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

/// The system's trusted certificates; none on a machine without a bundle, where plain HTTP and a `ca_file` still work.
pub(crate) fn system_roots() -> RootCertStore {
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        debug!(%error, "a system certificate cannot be read");
    }
    let mut roots = RootCertStore::empty();
    let (trusted, unusable) = roots.add_parsable_certificates(found.certs);
    debug!(trusted, unusable, "system certificates");
    roots
}

/// These roots and the certificates (PEM) of `ca_file`; the error is the end of a sentence.
pub(crate) fn with_ca_file(roots: &RootCertStore, ca_file: Option<&Path>) -> Result<RootCertStore, String> {
    let mut roots = roots.clone();
    let Some(path) = ca_file else { return Ok(roots) };
    let trouble = |reason: String| format!("{} {reason}", path.display());
    let pem = std::fs::read(path).map_err(|e| trouble(format!("cannot be read: {e}")))?;
    let mut added = 0;
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|e| trouble(format!("is not PEM: {e}")))?;
        roots.add(certificate).map_err(|e| trouble(format!("holds a certificate that cannot be used: {e}")))?;
        added += 1;
    }
    if added == 0 {
        return Err(trouble("holds no certificate (-----BEGIN CERTIFICATE-----)".to_owned()));
    }
    Ok(roots)
}

/// A client's configuration that trusts these roots, or anyone.
pub(crate) fn config(roots: RootCertStore, trust_anyone: bool) -> Result<ClientConfig, Error> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions()?;
    let config = if trust_anyone {
        builder.dangerous().with_custom_certificate_verifier(Arc::new(TrustAnyone(provider)))
    } else {
        builder.with_root_certificates(roots)
    };
    Ok(config.with_no_client_auth())
}

/// Until when a certificate (DER) is good, if it can be read.
pub(crate) fn good_until(certificate: &[u8]) -> Option<SystemTime> {
    let certificate = Certificate::from_der(certificate).ok()?;
    Some(certificate.tbs_certificate().validity().not_after.to_system_time())
}

/// Takes any certificate for `insecure_skip_verify`. The handshake's signatures are still checked: they cost the
/// operator nothing, and a broken peer is told from a strange one.
#[derive(Debug)]
struct TrustAnyone(Arc<CryptoProvider>);

impl ServerCertVerifier for TrustAnyone {
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
