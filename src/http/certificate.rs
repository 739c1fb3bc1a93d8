//! The certificate and the private key of the TLS listener: read at start, and again when their files change. It knows no
//! sockets.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::server::{ClientHello, ResolvesServerCert};
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::rustls::{self, InconsistentKeys};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::stamp::Stamp;
use super::{HttpError, TlsSettings};
use crate::trust;

/// The certificate that new connections are shown.
#[derive(Debug)]
pub(super) struct Certificate {
    cert: PathBuf,
    key: PathBuf,
    current: ArcSwap<CertifiedKey>,
    looks: Mutex<Looks>,
}

/// What the files were like when they were looked at.
#[derive(Debug)]
struct Looks {
    /// As they were when what is current was read.
    taken: Stamps,
    /// As they were when they were last found to be unusable.
    refused: Option<Stamps>,
}

/// The certificate's file and the key's; `None` for one that cannot be looked at.
type Stamps = [Option<Stamp>; 2];

impl Certificate {
    /// Reads both files. Blocks.
    pub(super) fn read(settings: &TlsSettings) -> Result<Self, HttpError> {
        let (cert, key) = (settings.cert.clone(), settings.key.clone());
        // Looked at first: what is written meanwhile is found to be new.
        let looks = Mutex::new(Looks { taken: stamps(&cert, &key), refused: None });
        let current = ArcSwap::from_pointee(pair(&cert, &key)?);
        Ok(Self { cert, key, current, looks })
    }

    /// Until when the server's own certificate is good, where that can be told.
    pub(super) fn good_until(&self) -> Option<SystemTime> {
        self.current.load().cert.first().and_then(|own| trust::good_until(own))
    }

    /// Looks at the files each `period`, and takes what is new in them, until `stop`.
    pub(super) async fn watch(self: Arc<Self>, period: Duration, stop: CancellationToken) {
        let looking = async {
            loop {
                tokio::time::sleep(period).await;
                let certificate = Arc::clone(&self);
                // Nobody aborts it; had it panicked, the next look would be as good.
                match tokio::task::spawn_blocking(move || certificate.renew()).await.ok().flatten() {
                    Some(Ok(())) => {
                        info!(cert = %self.cert.display(), "the TLS certificate was read again; new connections get it");
                    }
                    Some(Err(error)) => {
                        warn!(%error, "the TLS certificate changed and cannot be used; the one before stays in use");
                    }
                    None => {}
                }
            }
        };
        stop.run_until_cancelled(looking).await;
    }

    /// Reads the files again if they changed; `None` when there is nothing new to say. What is in use stays when they
    /// cannot be used; they are tried again at each call, as certificate and key are seldom replaced in one moment, but
    /// an error is told once for each change. Blocks.
    fn renew(&self) -> Option<Result<(), HttpError>> {
        let mut looks = self.looks.lock().unwrap_or_else(PoisonError::into_inner);
        let found = stamps(&self.cert, &self.key);
        if found == looks.taken {
            return None;
        }
        match pair(&self.cert, &self.key) {
            Ok(pair) => {
                self.current.store(Arc::new(pair));
                *looks = Looks { taken: found, refused: None };
                Some(Ok(()))
            }
            Err(error) => {
                let found = Some(found);
                let known = looks.refused == found;
                looks.refused = found;
                (!known).then_some(Err(error))
            }
        }
    }

    /// What it means that TLS cannot use the pair.
    pub(super) fn unusable(&self, error: &rustls::Error) -> HttpError {
        unusable(&self.cert, &self.key, error)
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current.load_full())
    }
}

fn stamps(cert: &Path, key: &Path) -> Stamps {
    [Stamp::of(cert), Stamp::of(key)]
}

/// The pair that the files hold now.
fn pair(cert: &Path, key: &Path) -> Result<CertifiedKey, HttpError> {
    let no_cert = |error| HttpError::pem("certificate", "CERTIFICATE", cert, error);
    let chain: Vec<_> = CertificateDer::pem_file_iter(cert).and_then(Iterator::collect).map_err(no_cert)?;
    if chain.is_empty() {
        return Err(no_cert(rustls_pki_types::pem::Error::NoItemsFound));
    }
    let private =
        PrivateKeyDer::from_pem_file(key).map_err(|error| HttpError::pem("private key", "PRIVATE KEY", key, error))?;
    CertifiedKey::from_der(chain, private, &ring::default_provider()).map_err(|error| unusable(cert, key, &error))
}

fn unusable(cert: &Path, key: &Path, error: &rustls::Error) -> HttpError {
    let (cert, key) = (cert.to_owned(), key.to_owned());
    match error {
        rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => HttpError::KeyMismatch { cert, key },
        error => HttpError::Unusable { cert, key, reason: error.to_string() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn generate() -> (String, String) {
        let pair = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        (pair.cert.pem(), pair.signing_key.serialize_pem())
    }

    /// A certificate's file and a key's, in a directory of their own.
    struct Files {
        dir: tempfile::TempDir,
        settings: TlsSettings,
    }

    impl Files {
        fn new(cert: &str, key: &str) -> Self {
            let dir = tempfile::tempdir().unwrap();
            let path = |name: &str| dir.path().join(name);
            let settings = TlsSettings { listen: vec![], cert: path("cert.pem"), key: path("key.pem") };
            let files = Self { dir, settings };
            files.replace(cert, key);
            files
        }

        fn replace(&self, cert: &str, key: &str) {
            for (path, text) in [(&self.settings.cert, cert), (&self.settings.key, key)] {
                let new = path.with_extension("new");
                std::fs::write(&new, text).unwrap();
                std::fs::rename(new, path).unwrap();
            }
        }

        fn refusal(&self) -> String {
            let error = Certificate::read(&self.settings).err().map(|error| error.to_string()).unwrap_or_default();
            error.replace(self.dir.path().to_str().unwrap(), "DIR")
        }
    }

    fn refusal(cert: &str, key: &str) -> String {
        Files::new(cert, key).refusal()
    }

    #[test]
    fn a_pair_is_taken() {
        let (cert, key) = generate();
        assert_eq!(refusal(&cert, &key), "");
        // One file may hold both.
        let both = cert + &key;
        assert_eq!(refusal(&both, &both), "");
    }

    #[test]
    fn says_what_is_wrong_with_the_files() {
        let (cert, key) = generate();
        let (other, _) = generate();
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
        let error = Certificate::read(&settings).err().unwrap().to_string();
        assert_eq!(
            error,
            "cannot read the certificate /nowhere/cert.pem ([http.tls]): No such file or directory (os error 2)"
        );
    }

    #[test]
    fn the_old_pair_stays_until_the_new_one_is_whole() {
        let (cert, key) = generate();
        let files = Files::new(&cert, &key);
        let certificate = Certificate::read(&files.settings).unwrap();
        let old = certificate.current.load_full();
        assert!(certificate.renew().is_none(), "nothing changed");

        let (cert, new_key) = generate();
        for (cert, key) in [(&cert, &key), (&String::new(), &new_key)] {
            files.replace(cert, key);
            assert!(matches!(certificate.renew(), Some(Err(_))));
            assert!(certificate.renew().is_none(), "it was told already");
        }
        std::fs::remove_file(&files.settings.key).unwrap();
        assert!(matches!(certificate.renew(), Some(Err(HttpError::NoPem { .. }))));
        assert!(Arc::ptr_eq(&old, &certificate.current.load()));

        files.replace(&cert, &new_key);
        assert!(matches!(certificate.renew(), Some(Ok(()))));
        assert_ne!(certificate.current.load().cert, old.cert);
        assert!(certificate.renew().is_none());
    }
}
