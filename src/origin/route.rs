//! Where requests for a source go: for those who look at an origin rather than read from it.

use super::{OriginError, Origins};
use crate::asset::SourceUrl;

/// Where requests for a source go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// The origin as metrics and messages name it: its `match`, else the source's scheme and host.
    pub label: String,
    /// The `match` of the origin; none: the source is reached plainly.
    pub origin: Option<String>,
    /// The server that is asked; none: it is a file.
    pub server: Option<Server>,
    /// The bucket of an S3 source.
    pub bucket: Option<String>,
    /// Whether it is an S3 source whose requests are not signed.
    pub anonymous: bool,
}

/// A server that is asked.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Server {
    /// Scheme, host and port.
    pub url: String,
    /// Host and port of the peer of the connection: the server's, or its proxy's. None where the proxies of the environment
    /// decide.
    pub peer: Option<(String, u16)>,
    /// Host and port of the origin's proxy, as shown.
    pub proxy: Option<String>,
    /// Whether TLS is spoken.
    pub tls: bool,
}

impl Origins {
    /// Where requests for `source` go; [`OriginError::Settings`] where the settings do not let it be asked for at all.
    pub fn route(&self, source: &SourceUrl) -> Result<Route, OriginError> {
        self.remote(source).route(source)
    }

    /// Whom a request for `source` would say we are, in words such as `access key AKIA…`. Loads the credentials:
    /// [`OriginError::Credentials`] where there are none.
    pub async fn identity(&self, source: &SourceUrl) -> Result<String, OriginError> {
        self.remote(source).identity(source).await
    }
}
