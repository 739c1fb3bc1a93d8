//! The addresses on which the server listens.

use std::net::SocketAddr;

use crate::api::Listener;

/// Addresses of all listeners, with the ports that the system chose.
#[derive(Debug, Clone, Default)]
pub struct Addresses {
    /// Plain HTTP.
    pub http: Vec<SocketAddr>,
    /// HTTP over TLS.
    pub https: Vec<SocketAddr>,
    /// TFTP.
    pub tftp: Vec<SocketAddr>,
    /// The admin listener.
    pub admin: Option<SocketAddr>,
}

impl Addresses {
    pub(super) fn listeners(&self) -> Vec<Listener> {
        let listener = |protocol: &str, address| Listener { protocol: protocol.to_owned(), address };
        let each = self.by_protocol().into_iter();
        each.flat_map(|(protocol, addresses)| addresses.into_iter().map(move |address| listener(protocol, address)))
            .collect()
    }

    pub(super) fn by_protocol(&self) -> [(&'static str, Vec<SocketAddr>); 4] {
        [
            ("http", self.http.clone()),
            ("https", self.https.clone()),
            ("tftp", self.tftp.clone()),
            ("admin", self.admin.into_iter().collect()),
        ]
    }
}
