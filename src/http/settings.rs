//! The HTTP server's settings, resolved from the configuration.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use crate::address_share::ShareSettings;

/// Where and how assets are served over HTTP.
#[derive(Debug, Clone)]
pub struct HttpSettings {
    /// The addresses of the plain listener.
    pub listen: Vec<SocketAddr>,
    /// The TLS listener; `None` to serve no TLS.
    pub tls: Option<TlsSettings>,
    /// The base URL of scripts, without a trailing slash. `None`: the scheme and host that the client used.
    pub advertise: Option<String>,
    /// How long a connection may stay idle: between requests, within a request head, and while the client takes
    /// bytes more slowly than `min_rate`.
    pub idle_timeout: Duration,
    /// Bytes a second that a client has to take, averaged over the idle timeout.
    pub min_rate: u64,
    /// Bytes of bodies in memory, over all connections.
    pub memory: usize,
    /// The most connections at a time over all listeners; further connections get 503.
    pub max_connections: usize,
    /// How much of the limit on connections one client may use.
    pub shares: ShareSettings,
}

/// The TLS listener. Both files are reloaded when they change.
#[derive(Debug, Clone)]
pub struct TlsSettings {
    /// Its addresses.
    pub listen: Vec<SocketAddr>,
    /// The certificate chain, PEM, the server's own certificate first.
    pub cert: PathBuf,
    /// The private key, PEM.
    pub key: PathBuf,
}

/// Returns the port of the plain listener that machines are sent to: the listener at the `advertised` address, else the
/// first that is not on loopback, else the first. 80 if `listen` is empty.
pub fn plain_port(listen: &[SocketAddr], advertised: Option<IpAddr>) -> u16 {
    let exact = listen.iter().find(|listener| Some(listener.ip()) == advertised);
    let found = exact.or_else(|| listen.iter().find(|listener| !listener.ip().is_loopback())).or(listen.first());
    found.map_or(80, SocketAddr::port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_port_prefers_advertised_then_reachable() {
        let port = |listen: &[&str], advertised: Option<&str>| {
            let listen: Vec<_> = listen.iter().map(|address| address.parse().unwrap()).collect();
            plain_port(&listen, advertised.map(|address| address.parse().unwrap()))
        };
        assert_eq!(port(&["0.0.0.0:8080"], None), 8080);
        assert_eq!(port(&["127.0.0.1:8000", "10.0.0.1:80", "10.1.0.1:8080"], None), 80);
        assert_eq!(port(&["127.0.0.1:8000", "10.0.0.1:80", "10.1.0.1:8080"], Some("10.1.0.1")), 8080);
        assert_eq!(port(&["127.0.0.1:8000"], Some("10.1.0.1")), 8000);
    }
}
