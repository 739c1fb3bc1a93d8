//! What the room needs of the settings file, resolved.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use super::HttpError;
use super::certificate::Certificate;

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

impl TlsSettings {
    /// Reads both files as the listener would, and returns until when the certificate is good, where that can be told.
    /// Blocks.
    pub fn check(&self) -> Result<Option<SystemTime>, HttpError> {
        Certificate::read(self).map(|certificate| certificate.good_until())
    }
}

/// The port of the plain listener that machines are sent to: of the one at the address that they are told, else of the
/// first that is not this machine's alone, else of the first.
pub fn plain_port(listen: &[SocketAddr], told: Option<IpAddr>) -> u16 {
    let there = listen.iter().find(|listener| Some(listener.ip()) == told);
    let found = there.or_else(|| listen.iter().find(|listener| !listener.ip().is_loopback())).or(listen.first());
    found.map_or(80, SocketAddr::port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn machines_are_sent_to_a_listener_that_they_can_reach() {
        let port = |listen: &[&str], told: Option<&str>| {
            let listen: Vec<_> = listen.iter().map(|address| address.parse().unwrap()).collect();
            plain_port(&listen, told.map(|address| address.parse().unwrap()))
        };
        assert_eq!(port(&["0.0.0.0:8080"], None), 8080);
        assert_eq!(port(&["127.0.0.1:8000", "10.0.0.1:80", "10.1.0.1:8080"], None), 80);
        assert_eq!(port(&["127.0.0.1:8000", "10.0.0.1:80", "10.1.0.1:8080"], Some("10.1.0.1")), 8080);
        assert_eq!(port(&["127.0.0.1:8000"], Some("10.1.0.1")), 8000);
    }
}
