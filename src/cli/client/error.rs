//! Why a request to the admin API failed.

use std::io;
use std::net::SocketAddr;

use hyper::StatusCode;

/// Why a request to the admin API failed.
#[derive(Debug, thiserror::Error)]
pub(in crate::cli) enum ClientError {
    /// The settings have no admin listener.
    #[error("admin.listen is \"off\", so that no running server can be reached")]
    Off,
    /// The listener's port is not known.
    #[error("admin.listen has port 0; set a port, so that commands can find the server")]
    AnyPort,
    /// Nothing listens there.
    #[error(
        "no server answers at {address} (admin.listen): {reason}; start it with `bootdepot serve`, or name its settings \
         file with --config"
    )]
    ConnectFailed {
        /// The address of the admin listener.
        address: SocketAddr,
        /// The problem.
        reason: String,
    },
    /// Something listens there, and there is no response.
    #[error("the server at {address} (admin.listen) does not answer: {reason}")]
    NoResponse {
        /// The address of the admin listener.
        address: SocketAddr,
        /// The problem.
        reason: String,
    },
    /// The requested object does not exist.
    #[error("{0}")]
    NotFound(String),
    /// The token is missing, wrong, or of a viewer.
    #[error("the server at {address} refuses: {detail}; {hint}")]
    Unauthorized {
        /// The address of the admin listener.
        address: SocketAddr,
        /// The server's message.
        detail: String,
        /// Where this command takes a token from.
        hint: String,
    },
    /// Any other error response.
    #[error("{}{detail}", prefix(.server.as_ref(), *.status))]
    Refused {
        /// The address of the admin listener; `None` if the work is done in this process.
        server: Option<SocketAddr>,
        /// The status of the response.
        status: StatusCode,
        /// The response's message.
        detail: String,
    },
    /// The response is not one of this API.
    #[error("the response from {0} is not one of this version of bootdepot")]
    BadResponse(SocketAddr),
    /// The router of this process sent what this client does not understand, which is a bug.
    #[error("an internal response was not understood; this is a bug in bootdepot: please report it")]
    Internal,
    /// The system is out of resources.
    #[error("the system is out of resources: {0}")]
    System(#[from] io::Error),
}

fn prefix(server: Option<&SocketAddr>, status: StatusCode) -> String {
    server.map(|address| format!("the server at {address} answers {status}: ")).unwrap_or_default()
}

impl ClientError {
    /// Whether no server runs, as far as the settings say.
    pub(in crate::cli) fn is_no_server(&self) -> bool {
        matches!(self, Self::Off | Self::AnyPort | Self::ConnectFailed { .. })
    }

    /// Why there is no server, without what to do about it.
    pub(in crate::cli) fn in_short(&self) -> String {
        match self {
            Self::ConnectFailed { address, reason } => format!("no server answers at {address}: {reason}"),
            other => other.to_string(),
        }
    }

    /// Splits off the errors that concern one asset alone: the next request may succeed. Returns what the server says of
    /// this one.
    pub(in crate::cli) fn of_item(self) -> Result<String, Self> {
        match self {
            Self::NotFound(detail) => Ok(detail),
            Self::Refused { status, detail, .. } if status != StatusCode::TOO_MANY_REQUESTS => Ok(detail),
            error => Err(error),
        }
    }
}
