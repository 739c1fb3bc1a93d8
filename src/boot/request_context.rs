//! Where a request came from, and how the client reaches this server.

use std::net::IpAddr;

/// The context of one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestContext {
    /// The client's address.
    pub peer: IpAddr,
    /// The base of URLs for this client, such as `http://boot.lab:8080`, without a trailing slash.
    pub base: String,
    /// Whether the client asks only for the size and type of the answer (RFC 9110 9.3.2, HEAD). Such a request changes nothing: it
    /// gets no token, uses none up, and is no step of a boot.
    pub is_probe: bool,
}
