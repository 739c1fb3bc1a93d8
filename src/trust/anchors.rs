//! The certificates that a TLS client trusts: the system's, and those of a `ca_file`.

use std::path::Path;

use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::{self, PemObject};
use tokio_rustls::rustls::RootCertStore;
use tracing::debug;

use super::certificate::Facts;

/// The certificates that a TLS client trusts.
#[derive(Debug, Clone)]
pub(crate) struct Trust {
    pub(super) roots: RootCertStore,
    /// The certificates of a `ca_file`. A server that presents one of them is trusted as itself: many self-signed certificates
    /// are no CA, or are one and are no server's.
    pub(super) listed: Vec<CertificateDer<'static>>,
}

impl From<RootCertStore> for Trust {
    fn from(roots: RootCertStore) -> Self {
        Self { roots, listed: Vec::new() }
    }
}

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
pub(crate) fn with_ca_file(roots: &RootCertStore, ca_file: Option<&Path>) -> Result<Trust, String> {
    let mut trust = Trust::from(roots.clone());
    let Some(path) = ca_file else { return Ok(trust) };
    let failure = |reason: String| format!("{} {reason}", path.display());
    let text = std::fs::read(path).map_err(|e| failure(format!("cannot be read: {e}")))?;
    for certificate in CertificateDer::pem_slice_iter(&text) {
        let certificate = certificate.map_err(|e| failure(format!("is not PEM: {}", not_pem(&e))))?;
        let facts = Facts::parse(&certificate);
        // A server's certificate is trusted as itself alone: its key must not vouch for other names. One without facts is not
        // accepted from a server, so it can only be meant as an authority.
        let is_authority = facts.as_ref().is_none_or(|facts| facts.may_sign);
        let is_usable = is_authority && trust.roots.add(certificate.clone()).is_ok();
        if !is_usable && facts.is_none() {
            return Err(failure("contains a malformed certificate".to_owned()));
        }
        trust.listed.push(certificate);
    }
    if trust.listed.is_empty() {
        return Err(failure("contains no certificate (-----BEGIN CERTIFICATE-----)".to_owned()));
    }
    Ok(trust)
}

fn not_pem(error: &pem::Error) -> &'static str {
    match error {
        pem::Error::MissingSectionEnd { .. } => "a certificate has no END line",
        pem::Error::IllegalSectionStart { .. } => "a BEGIN line is malformed",
        pem::Error::Base64Decode(_) => "a certificate is not base64",
        _ => "it cannot be parsed",
    }
}
