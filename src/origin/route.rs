//! Where requests for a source go, for diagnostics that inspect an origin without reading from it.

/// Where requests for a source go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// The origin's name in metrics and messages: its `match`, else the source's scheme and host.
    pub label: String,
    /// The `match` of the origin. `None` if no configured origin matches.
    pub origin: Option<String>,
    /// The server. `None` for a file.
    pub server: Option<Server>,
    /// The bucket of an S3 source.
    pub bucket: Option<String>,
    /// Whether it is an S3 source whose requests are not signed.
    pub anonymous: bool,
}

/// A server that receives requests.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Server {
    /// Scheme, host and port.
    pub url: String,
    /// Host and port of the connection's peer: the server, or the origin's proxy. `None` if the environment's proxy
    /// variables decide.
    pub peer: Option<(String, u16)>,
    /// Host and port of the origin's proxy, as shown.
    pub proxy: Option<String>,
    /// Whether the connection uses TLS.
    pub tls: bool,
}
