//! Requests for client certificates. This program has no client certificate; it notes the requests, because a refusal later
//! does not always name the reason.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio_rustls::rustls::SignatureScheme;
use tokio_rustls::rustls::client::ResolvesClientCert;
use tokio_rustls::rustls::sign::CertifiedKey;

/// When servers last requested a client certificate.
#[derive(Debug, Default)]
pub(crate) struct CertificateRequests(Mutex<Option<Instant>>);

impl CertificateRequests {
    /// Whether a server requested a certificate in this time.
    pub(crate) fn within(&self, time: Duration) -> bool {
        self.0.lock().is_some_and(|at| at.elapsed() <= time)
    }
}

impl ResolvesClientCert for CertificateRequests {
    fn resolve(&self, _root_hint_subjects: &[&[u8]], _sigschemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        *self.0.lock() = Some(Instant::now());
        None
    }

    fn has_certs(&self) -> bool {
        false
    }
}
