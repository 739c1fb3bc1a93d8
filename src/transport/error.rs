//! Why a listener cannot start.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use tokio_rustls::rustls::{self, InconsistentKeys};

/// Why an address cannot be listened on, and what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Another socket is bound to the address.
    #[error("{0} is already in use; stop the process that listens there, or choose another address")]
    InUse(SocketAddr),
    /// The port needs a privilege that the process does not have.
    #[error(
        "no permission to listen on {0}; ports below 1024 need the capability CAP_NET_BIND_SERVICE, or choose a higher port"
    )]
    Forbidden(SocketAddr),
    /// No interface has the address.
    #[error("cannot listen on {0}: no interface of this machine has this address; the interface may not be up yet")]
    NoSuchAddress(SocketAddr),
    /// The machine has no IPv6.
    #[error("this machine has no IPv6, which {0} needs; listen on 0.0.0.0:{port} instead", port = .0.port())]
    NoIpv6(SocketAddr),
    /// Any other error of the system.
    #[error("cannot listen on {address}")]
    Other {
        /// The address.
        address: SocketAddr,
        /// The error of the system.
        source: io::Error,
    },
}

/// Why a TLS certificate and its private key cannot be used, and what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// The certificate or key file cannot be read.
    #[error("cannot read the {kind} {path}")]
    Unreadable {
        /// `certificate` or `private key`.
        kind: &'static str,
        /// The file.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
    /// The file is not PEM, or has no such section.
    #[error("{path} holds no {kind} in PEM form (a section that begins with -----BEGIN {section}-----)")]
    NoPem {
        /// `certificate` or `private key`.
        kind: &'static str,
        /// The section that was expected.
        section: &'static str,
        /// The file.
        path: PathBuf,
        /// The error of the PEM parser; `None` if there is simply no such section.
        source: Option<rustls_pki_types::pem::Error>,
    },
    /// Certificate and key do not belong together.
    #[error(
        "the private key {key} does not match the certificate {cert}; the server's own certificate must be the first in its file"
    )]
    KeyMismatch {
        /// The certificate file.
        cert: PathBuf,
        /// The key file.
        key: PathBuf,
    },
    /// The TLS library rejects the certificate or the key.
    #[error("cannot use the certificate {cert} with the private key {key}")]
    Unusable {
        /// The certificate file.
        cert: PathBuf,
        /// The key file.
        key: PathBuf,
        /// The error of the TLS library.
        source: rustls::Error,
    },
}

impl ListenError {
    /// Classifies a failure to listen on `address`.
    pub(crate) fn new(address: SocketAddr, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::AddrInUse => Self::InUse(address),
            io::ErrorKind::PermissionDenied => Self::Forbidden(address),
            io::ErrorKind::AddrNotAvailable => Self::NoSuchAddress(address),
            _ if source.raw_os_error() == Some(libc::EAFNOSUPPORT) && address.is_ipv6() => Self::NoIpv6(address),
            _ => Self::Other { address, source },
        }
    }
}

impl CertificateError {
    /// Classifies a failure to find a section in the PEM file at `path`.
    pub(super) fn pem(
        kind: &'static str,
        section: &'static str,
        path: &Path,
        source: rustls_pki_types::pem::Error,
    ) -> Self {
        let path = path.to_owned();
        match source {
            rustls_pki_types::pem::Error::Io(source) => Self::Unreadable { kind, path, source },
            rustls_pki_types::pem::Error::NoItemsFound => Self::NoPem { kind, section, path, source: None },
            source => Self::NoPem { kind, section, path, source: Some(source) },
        }
    }

    /// Classifies an error of the TLS library about the pair.
    pub(super) fn unusable(cert: &Path, key: &Path, source: rustls::Error) -> Self {
        let (cert, key) = (cert.to_owned(), key.to_owned());
        match source {
            rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => Self::KeyMismatch { cert, key },
            source => Self::Unusable { cert, key, source },
        }
    }
}
