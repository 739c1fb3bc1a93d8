//! Why the server could not start.

use crate::admin::AdminError;
use crate::cache::CacheError;
use crate::dhcp::DhcpError;
use crate::http::HttpError;
use crate::origin::OriginError;
use crate::sockets::SocketsError;
use crate::tftp::TftpError;

/// Why the server could not start.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// The HTTP listener.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// The admin listener.
    #[error(transparent)]
    Admin(#[from] AdminError),
    /// The TFTP listener.
    #[error(transparent)]
    Tftp(#[from] TftpError),
    /// The proxyDHCP server.
    #[error(transparent)]
    Dhcp(#[from] DhcpError),
    /// An origin's settings.
    #[error(transparent)]
    Origin(#[from] OriginError),
    /// The cache.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// The sockets that were inherited.
    #[error(transparent)]
    Sockets(#[from] SocketsError),
    /// The system gives no thread.
    #[error("no thread could be started: {0}")]
    Thread(std::io::Error),
}
