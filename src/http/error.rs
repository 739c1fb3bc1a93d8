//! Why the HTTP server cannot start.

use crate::transport::{CertificateError, ListenError};

/// Why the HTTP server cannot start.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// An address cannot be listened on.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The certificate or the private key of the TLS listener cannot be used.
    #[error("cannot start the TLS listener ([http.tls])")]
    Certificate(#[from] CertificateError),
}
