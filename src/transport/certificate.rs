//! The certificate and the private key of a TLS listener: read at start, and again when their files change. It knows no
//! sockets.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::server::{ClientHello, ResolvesServerCert};
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::error::CertificateError;
use crate::error_chain::error_chain;
use crate::trust;
use crate::watched_file::{WatchedFiles, poll_until};

/// The certificate chain and private key that new connections use.
#[derive(Debug)]
pub(crate) struct Certificate {
    cert: PathBuf,
    key: PathBuf,
    current: ArcSwap<CertifiedKey>,
    watched: Mutex<WatchedFiles>,
}

impl Certificate {
    /// Reads the PEM files `cert` (the chain, the server's own certificate first) and `key`. Blocks.
    pub(crate) fn read(cert: &Path, key: &Path) -> Result<Self, CertificateError> {
        let (watched, pair) = WatchedFiles::open([cert.to_owned(), key.to_owned()], || load(cert, key))?;
        let current = ArcSwap::from_pointee(pair);
        Ok(Self { cert: cert.to_owned(), key: key.to_owned(), current, watched: Mutex::new(watched) })
    }

    /// Checks the files every `interval` and loads them if they changed, until `stop`.
    pub(crate) async fn watch(self: Arc<Self>, interval: Duration, stop: CancellationToken) {
        let check = move || match self.reload() {
            Some(Ok(())) => info!(cert = %self.cert.display(), "TLS certificate reloaded"),
            Some(Err(error)) => {
                let error = error_chain(&error);
                warn!(%error, "TLS certificate reload failed; previous certificate stays in use");
            }
            None => {}
        };
        poll_until(interval, stop, check).await;
    }

    /// Loads the files if they changed; returns `None` if there is nothing to report. If they cannot be used, the current
    /// pair stays in use. They are tried again at each call, because certificate and key are seldom replaced at the same
    /// instant, but each change reports its error only once. Blocks.
    fn reload(&self) -> Option<Result<(), CertificateError>> {
        let loaded = self.watched.lock().reload(|| load(&self.cert, &self.key));
        loaded.map(|pair| pair.map(|pair| self.current.store(Arc::new(pair))))
    }

    /// Returns the error that means that the TLS library rejects the pair.
    pub(super) fn unusable(&self, error: rustls::Error) -> CertificateError {
        CertificateError::unusable(&self.cert, &self.key, error)
    }
}

/// Reads the PEM files `cert` and `key` as a listener would, and returns when the server's own certificate expires; `None` if
/// its expiry cannot be parsed. Blocks.
pub fn check_certificate(cert: &Path, key: &Path) -> Result<Option<SystemTime>, CertificateError> {
    let pair = load(cert, key)?;
    Ok(pair.cert.first().and_then(|own| trust::expiry(own)))
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current.load_full())
    }
}

/// Reads both files.
fn load(cert: &Path, key: &Path) -> Result<CertifiedKey, CertificateError> {
    let no_cert = |error| CertificateError::pem("certificate", "CERTIFICATE", cert, error);
    let chain: Vec<_> = CertificateDer::pem_file_iter(cert).and_then(Iterator::collect).map_err(no_cert)?;
    if chain.is_empty() {
        return Err(no_cert(rustls_pki_types::pem::Error::NoItemsFound));
    }
    let private = PrivateKeyDer::from_pem_file(key)
        .map_err(|error| CertificateError::pem("private key", "PRIVATE KEY", key, error))?;
    CertifiedKey::from_der(chain, private, &ring::default_provider())
        .map_err(|error| CertificateError::unusable(cert, key, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn generate() -> (String, String) {
        let pair = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        (pair.cert.pem(), pair.signing_key.serialize_pem())
    }

    /// A certificate file and a key file in a temporary directory.
    struct Files {
        dir: tempfile::TempDir,
        cert: PathBuf,
        key: PathBuf,
    }

    impl Files {
        fn new(cert: &str, key: &str) -> Self {
            let dir = tempfile::tempdir().unwrap();
            let (cert_path, key_path) = (dir.path().join("cert.pem"), dir.path().join("key.pem"));
            let files = Self { dir, cert: cert_path, key: key_path };
            files.replace(cert, key);
            files
        }

        fn replace(&self, cert: &str, key: &str) {
            for (path, text) in [(&self.cert, cert), (&self.key, key)] {
                let new = path.with_extension("new");
                std::fs::write(&new, text).unwrap();
                std::fs::rename(new, path).unwrap();
            }
        }

        fn read(&self) -> Result<Certificate, CertificateError> {
            Certificate::read(&self.cert, &self.key)
        }

        /// The error of reading both, with its sources; empty on success.
        fn error(&self) -> String {
            let error = self.read().err().map(|error| error_chain(&error).to_string()).unwrap_or_default();
            error.replace(self.dir.path().to_str().unwrap(), "DIR")
        }
    }

    fn error(cert: &str, key: &str) -> String {
        Files::new(cert, key).error()
    }

    #[test]
    fn matching_pair_is_accepted() {
        let (cert, key) = generate();
        assert_eq!(error(&cert, &key), "");
        // One file may hold both.
        let both = cert + &key;
        assert_eq!(error(&both, &both), "");
    }

    #[test]
    fn unusable_pair_error_names_file() {
        let (cert, key) = generate();
        let (other, _) = generate();
        assert_eq!(
            error("", &key),
            "DIR/cert.pem holds no certificate in PEM form (a section that begins with -----BEGIN CERTIFICATE-----)"
        );
        assert_eq!(
            error(&cert, &cert),
            "DIR/key.pem holds no private key in PEM form (a section that begins with -----BEGIN PRIVATE KEY-----)"
        );
        assert_eq!(
            error(&other, &key),
            "the private key DIR/key.pem does not match the certificate DIR/cert.pem; the server's own certificate must be the first in its file"
        );
        let garbled = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert!(
            error(garbled, &key)
                .starts_with("cannot use the certificate DIR/cert.pem with the private key DIR/key.pem: ")
        );
        let error = Certificate::read(Path::new("/nowhere/cert.pem"), Path::new("/nowhere/key.pem")).err().unwrap();
        assert_eq!(
            error_chain(&error).to_string(),
            "cannot read the certificate /nowhere/cert.pem: No such file or directory (os error 2)"
        );
    }

    #[test]
    fn broken_renewal_keeps_previous_pair() {
        let (cert, key) = generate();
        let files = Files::new(&cert, &key);
        let certificate = files.read().unwrap();
        let old = certificate.current.load_full();
        assert!(certificate.reload().is_none(), "no change");

        let (cert, new_key) = generate();
        for (cert, key) in [(&cert, &key), (&String::new(), &new_key)] {
            files.replace(cert, key);
            assert!(matches!(certificate.reload(), Some(Err(_))));
            assert!(certificate.reload().is_none(), "already reported");
        }
        std::fs::remove_file(&files.key).unwrap();
        assert!(matches!(certificate.reload(), Some(Err(CertificateError::NoPem { .. }))));
        assert!(Arc::ptr_eq(&old, &certificate.current.load()));

        files.replace(&cert, &new_key);
        assert!(matches!(certificate.reload(), Some(Ok(()))));
        assert_ne!(certificate.current.load().cert, old.cert);
        assert!(certificate.reload().is_none());
    }
}
