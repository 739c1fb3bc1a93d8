//! The base of the URLs in scripts that are sent over TFTP.

use std::net::{IpAddr, SocketAddr};

/// The base of the URLs in a script: scheme, host and port of the HTTP server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BaseUrl {
    /// The URL that the operator configured.
    Configured(String),
    /// The local address that the client sent its request to, with this port of the HTTP server.
    LocalAddress {
        /// The port of the plain HTTP listener.
        http_port: u16,
    },
}

impl BaseUrl {
    /// The base for a client that sent its request to the address `local`. The default port 80 is left out: GRUB before
    /// 2.12 takes `ADDRESS:PORT` for a host name, which it cannot resolve.
    pub(super) fn resolve(&self, local: IpAddr) -> String {
        match (self, local.to_canonical()) {
            (Self::Configured(url), _) => url.clone(),
            (Self::LocalAddress { http_port: 80 }, IpAddr::V4(local)) => format!("http://{local}"),
            (Self::LocalAddress { http_port: 80 }, IpAddr::V6(local)) => format!("http://[{local}]"),
            (Self::LocalAddress { http_port }, local) => format!("http://{}", SocketAddr::new(local, *http_port)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base_url_uses_requested_address() {
        let url = |local: &str, http_port| BaseUrl::LocalAddress { http_port }.resolve(local.parse().unwrap());
        assert_eq!(url("::ffff:10.0.0.1", 8080), "http://10.0.0.1:8080");
        assert_eq!(url("fd00::1", 8080), "http://[fd00::1]:8080");
        assert_eq!(url("::ffff:10.0.0.1", 80), "http://10.0.0.1");
        assert_eq!(url("fd00::1", 80), "http://[fd00::1]");
        assert_eq!(BaseUrl::Configured("http://boot.lab".into()).resolve([10, 0, 0, 1].into()), "http://boot.lab");
    }
}
