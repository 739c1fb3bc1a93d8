//! Why the HTTP server cannot start.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// Why the HTTP server cannot start: what is in the way, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// Another socket has the address.
    #[error("{0} is in use already; stop what listens there, or choose another address")]
    InUse(SocketAddr),
    /// The port needs a privilege that the process lacks.
    #[error(
        "no permission to listen on {0}; ports below 1024 need the capability CAP_NET_BIND_SERVICE, or choose a higher one"
    )]
    Forbidden(SocketAddr),
    /// No interface has the address.
    #[error("no interface of this machine has the address of {0}; it may not be up yet")]
    NoSuchAddress(SocketAddr),
    /// The machine has no IPv6.
    #[error("this machine has no IPv6, which {0} needs; listen on 0.0.0.0:{port} instead", port = .0.port())]
    NoIpv6(SocketAddr),
    /// Anything else about an address.
    #[error("cannot listen on {address}: {error}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The system's words.
        error: io::Error,
    },
    /// The certificate or key file cannot be read.
    #[error("cannot read the {what} {path} ([http.tls]): {error}")]
    Unreadable {
        /// `certificate` or `private key`.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's words.
        error: io::Error,
    },
    /// The file is no PEM, or has no such section.
    #[error("{path} holds no {what} in PEM form (a section that begins with -----BEGIN {section}-----)")]
    NoPem {
        /// `certificate` or `private key`.
        what: &'static str,
        /// The section that was looked for.
        section: &'static str,
        /// The file.
        path: PathBuf,
    },
    /// Certificate and key are of different pairs.
    #[error(
        "the private key {key} is not that of the certificate {cert}; the server's own certificate comes first in its file"
    )]
    KeyMismatch {
        /// The certificate's file.
        cert: PathBuf,
        /// The key's file.
        key: PathBuf,
    },
    /// A certificate or key that TLS cannot use.
    #[error("the certificate {cert} with the private key {key} cannot be used: {reason}")]
    Unusable {
        /// The certificate's file.
        cert: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// What the TLS library says.
        reason: String,
    },
}

impl HttpError {
    /// What a failure to listen on `address` means.
    pub(super) fn listen(address: SocketAddr, error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::AddrInUse => Self::InUse(address),
            io::ErrorKind::PermissionDenied => Self::Forbidden(address),
            io::ErrorKind::AddrNotAvailable => Self::NoSuchAddress(address),
            _ if error.raw_os_error() == Some(libc::EAFNOSUPPORT) && address.is_ipv6() => Self::NoIpv6(address),
            _ => Self::Listen { address, error },
        }
    }

    /// What a failure to find `what` in the PEM file at `path` means.
    pub(super) fn pem(
        what: &'static str,
        section: &'static str,
        path: &Path,
        error: rustls_pki_types::pem::Error,
    ) -> Self {
        let path = path.to_owned();
        match error {
            rustls_pki_types::pem::Error::Io(error) => Self::Unreadable { what, path, error },
            _ => Self::NoPem { what, section, path },
        }
    }
}
