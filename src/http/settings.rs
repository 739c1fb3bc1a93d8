//! What the room needs of the settings file, resolved.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Where and how assets are served over HTTP.
#[derive(Debug, Clone)]
pub struct HttpSettings {
    /// Addresses of the plain listener.
    pub listen: Vec<SocketAddr>,
    /// The second listener, with TLS.
    pub tls: Option<TlsSettings>,
    /// The base of URLs in scripts, without a slash at its end; none: as the client reached the server.
    pub advertise: Option<String>,
    /// How long a connection may be idle: between requests, within a request's head, and for a client that takes no byte.
    pub idle_timeout: Duration,
    /// Connections at a time over all listeners; one more is answered 503.
    pub max_connections: usize,
}

/// The TLS listener. Both files are read again when they change.
#[derive(Debug, Clone)]
pub struct TlsSettings {
    /// Its addresses.
    pub listen: Vec<SocketAddr>,
    /// The certificate chain, PEM, the server's own first.
    pub cert: PathBuf,
    /// Its private key, PEM.
    pub key: PathBuf,
}
