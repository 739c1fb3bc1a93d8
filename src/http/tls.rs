//! TLS 1.2 and 1.3 for the second listener: its certificate and key, read once at start.

use std::sync::Arc;

use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::{self, InconsistentKeys, ServerConfig};

use super::{HttpError, TlsSettings};

/// ALPN's name of HTTP/2 over TLS (RFC 9113 3.2).
pub(super) const HTTP2: &[u8] = b"h2";

/// ALPN's name of HTTP/1.1 (RFC 7301 6).
const HTTP1: &[u8] = b"http/1.1";

/// Reads the certificate and the key, and makes of them what accepts connections. Blocks for two small files.
pub(super) fn acceptor(settings: &TlsSettings) -> Result<TlsAcceptor, HttpError> {
    let (cert, key) = (&settings.cert, &settings.key);
    let no_cert = |error| HttpError::pem("certificate", "CERTIFICATE", cert, error);
    let chain: Vec<_> = CertificateDer::pem_file_iter(cert).and_then(Iterator::collect).map_err(no_cert)?;
    if chain.is_empty() {
        return Err(no_cert(rustls_pki_types::pem::Error::NoItemsFound));
    }
    let private =
        PrivateKeyDer::from_pem_file(key).map_err(|error| HttpError::pem("private key", "PRIVATE KEY", key, error))?;
    let unusable = |error: rustls::Error| match error {
        rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
            HttpError::KeyMismatch { cert: cert.clone(), key: key.clone() }
        }
        error => HttpError::Unusable { cert: cert.clone(), key: key.clone(), reason: error.to_string() },
    };
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(unusable)?
        .with_no_client_auth()
        .with_single_cert(chain, private)
        .map_err(unusable)?;
    config.alpn_protocols = vec![HTTP2.to_vec(), HTTP1.to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    fn pair() -> (String, String) {
        let pair = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        (pair.cert.pem(), pair.signing_key.serialize_pem())
    }

    fn refusal(cert: &str, key: &str) -> String {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| -> PathBuf {
            let path = dir.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let settings = TlsSettings { listen: vec![], cert: write("cert.pem", cert), key: write("key.pem", key) };
        let error = acceptor(&settings).err().map(|error| error.to_string()).unwrap_or_default();
        error.replace(dir.path().to_str().unwrap(), "DIR")
    }

    #[test]
    fn a_pair_is_taken() {
        let (cert, key) = pair();
        assert_eq!(refusal(&cert, &key), "");
        // One file may hold both.
        let both = cert + &key;
        assert_eq!(refusal(&both, &both), "");
    }

    #[test]
    fn says_what_is_wrong_with_the_files() {
        let (cert, key) = pair();
        let (other, _) = pair();
        assert_eq!(
            refusal("", &key),
            "DIR/cert.pem holds no certificate in PEM form (a section that begins with -----BEGIN CERTIFICATE-----)"
        );
        assert_eq!(
            refusal(&cert, &cert),
            "DIR/key.pem holds no private key in PEM form (a section that begins with -----BEGIN PRIVATE KEY-----)"
        );
        assert_eq!(
            refusal(&other, &key),
            "the private key DIR/key.pem is not that of the certificate DIR/cert.pem; the server's own certificate comes first in its file"
        );
        let garbled = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert!(
            refusal(garbled, &key)
                .starts_with("the certificate DIR/cert.pem with the private key DIR/key.pem cannot be used: ")
        );
        let settings = TlsSettings { listen: vec![], cert: "/nowhere/cert.pem".into(), key: "/nowhere/key.pem".into() };
        let error = acceptor(&settings).err().unwrap().to_string();
        assert_eq!(error, "cannot read the certificate /nowhere/cert.pem: No such file or directory (os error 2)");
    }
}
