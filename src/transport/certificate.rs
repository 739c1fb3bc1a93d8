//! The certificate and the private key of a TLS listener: read at start, and again when their files change. It knows no
//! sockets.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::server::{ClientHello, ResolvesServerCert};
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::error::CertificateError;
use super::file_fingerprint::FileFingerprint;
use crate::error_chain::error_chain;
use crate::trust;

/// The certificate chain and private key that new connections use.
#[derive(Debug)]
pub(crate) struct Certificate {
    cert: PathBuf,
    key: PathBuf,
    current: ArcSwap<CertifiedKey>,
    seen: Mutex<SeenFiles>,
}

/// The state of the files when they were last read.
#[derive(Debug)]
struct SeenFiles {
    /// When the current pair was loaded.
    loaded: Fingerprints,
    /// When they were last rejected.
    rejected: Option<Fingerprints>,
}

/// The fingerprints of the certificate file and the key file; `None` for a file without readable metadata.
type Fingerprints = [Option<FileFingerprint>; 2];

impl Certificate {
    /// Reads the PEM files `cert` (the chain, the server's own certificate first) and `key`. Blocks.
    pub(crate) fn read(cert: &Path, key: &Path) -> Result<Self, CertificateError> {
        // Taken before reading, so that a change during the read is detected later.
        let seen = Mutex::new(SeenFiles { loaded: fingerprints(cert, key), rejected: None });
        let current = ArcSwap::from_pointee(load(cert, key)?);
        Ok(Self { cert: cert.to_owned(), key: key.to_owned(), current, seen })
    }

    /// Returns when the server's own certificate expires; `None` if it cannot be parsed.
    pub(crate) fn expires(&self) -> Option<SystemTime> {
        self.current.load().cert.first().and_then(|own| trust::expiry(own))
    }

    /// Checks the files every `interval` and loads them if they changed, until `stop`.
    pub(crate) async fn watch(self: Arc<Self>, interval: Duration, stop: CancellationToken) {
        let watching = async {
            loop {
                tokio::time::sleep(interval).await;
                let certificate = Arc::clone(&self);
                // The task is never aborted. After a panic the next check tries again.
                match tokio::task::spawn_blocking(move || certificate.reload_if_changed()).await.ok().flatten() {
                    Some(Ok(())) => info!(cert = %self.cert.display(), "TLS certificate reloaded"),
                    Some(Err(error)) => {
                        warn!(error = %error_chain(&error), "TLS certificate reload failed; previous certificate stays in use");
                    }
                    None => {}
                }
            }
        };
        stop.run_until_cancelled(watching).await;
    }

    /// Loads the files if they changed; returns `None` if there is nothing to report. If they cannot be used, the current
    /// pair stays in use. They are tried again at each call, because certificate and key are seldom replaced at the same
    /// instant, but each change reports its error only once. Blocks.
    fn reload_if_changed(&self) -> Option<Result<(), CertificateError>> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let found = fingerprints(&self.cert, &self.key);
        if found == seen.loaded {
            return None;
        }
        match load(&self.cert, &self.key) {
            Ok(pair) => {
                self.current.store(Arc::new(pair));
                *seen = SeenFiles { loaded: found, rejected: None };
                Some(Ok(()))
            }
            Err(error) => {
                let found = Some(found);
                let reported = seen.rejected == found;
                seen.rejected = found;
                (!reported).then_some(Err(error))
            }
        }
    }

    /// Returns the error that means that the TLS library rejects the pair.
    pub(super) fn unusable(&self, error: rustls::Error) -> CertificateError {
        CertificateError::unusable(&self.cert, &self.key, error)
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current.load_full())
    }
}

fn fingerprints(cert: &Path, key: &Path) -> Fingerprints {
    [FileFingerprint::of(cert), FileFingerprint::of(key)]
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

        /// The error of reading both, with its sources; empty if there is none.
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
        assert!(certificate.reload_if_changed().is_none(), "no change");

        let (cert, new_key) = generate();
        for (cert, key) in [(&cert, &key), (&String::new(), &new_key)] {
            files.replace(cert, key);
            assert!(matches!(certificate.reload_if_changed(), Some(Err(_))));
            assert!(certificate.reload_if_changed().is_none(), "already reported");
        }
        std::fs::remove_file(&files.key).unwrap();
        assert!(matches!(certificate.reload_if_changed(), Some(Err(CertificateError::NoPem { .. }))));
        assert!(Arc::ptr_eq(&old, &certificate.current.load()));

        files.replace(&cert, &new_key);
        assert!(matches!(certificate.reload_if_changed(), Some(Ok(()))));
        assert_ne!(certificate.current.load().cert, old.cert);
        assert!(certificate.reload_if_changed().is_none());
    }
}
