//! Where a request came from, and how the client reaches this server.

use std::net::IpAddr;

/// The context of one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestContext {
    /// The client's address.
    pub peer: IpAddr,
    /// The base of URLs for this client, such as `http://boot.lab:8080`, without a trailing slash.
    pub base: String,
}
