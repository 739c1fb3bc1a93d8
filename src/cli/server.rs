//! The client of a running server's API. It knows no command.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::header::{ACCEPT, AUTHORIZATION, CONNECTION, CONTENT_TYPE, HOST};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::time::timeout;

use crate::admin::{AdminSettings, plain_token};

/// How long a server on this machine, which answers from memory, may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// The variable that holds a token for the API.
const TOKEN: &str = "BOOTDEPOT_TOKEN";

/// Asks the server that runs with some settings.
pub(super) struct Server {
    address: SocketAddr,
    token: Option<String>,
    /// Whether the token is from [`TOKEN`].
    from_environment: bool,
    /// The file with the tokens of operators.
    operators: Option<PathBuf>,
    runtime: Runtime,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum AskError {
    /// The settings have no admin listener.
    #[error("admin.listen is \"off\"; without it a running server cannot be asked")]
    Off,
    /// The listener's port is not known.
    #[error("admin.listen leaves the port to the system; set one, so that the server can be found")]
    AnyPort,
    /// Nobody listens.
    #[error(
        "no server answers at {address} (admin.listen): {reason}; start it with `bootdepot serve`, or say with --config \
         which settings it runs with"
    )]
    Silent {
        /// Where it was looked for.
        address: SocketAddr,
        /// What went wrong.
        reason: String,
    },
    /// It is there, and does not answer.
    #[error("the server at {address} (admin.listen) does not answer: {reason}")]
    Unanswered {
        /// Where it is.
        address: SocketAddr,
        /// What went wrong.
        reason: String,
    },
    /// It says that there is no such thing.
    #[error("{0}")]
    Missing(String),
    /// It wants a token, or a better one.
    #[error("the server at {address} refuses: {detail}; {hint}")]
    Unwelcome {
        /// Where it is.
        address: SocketAddr,
        /// Why.
        detail: String,
        /// Where this command takes a token from.
        hint: String,
    },
    /// It will not.
    #[error("the server at {address} answers {status}: {detail}")]
    Refused {
        /// Where it is.
        address: SocketAddr,
        /// What it answers.
        status: StatusCode,
        /// Why.
        detail: String,
    },
    /// Its answer is not understood.
    #[error("what answers at {0} is no bootdepot of this version")]
    Foreign(SocketAddr),
    /// There is no runtime to be had.
    #[error("the system is out of resources: {0}")]
    System(#[from] std::io::Error),
}

impl AskError {
    /// Whether there is nobody to ask, rather than somebody who does not answer as wished.
    pub(super) fn is_nobody(&self) -> bool {
        matches!(self, Self::Off | Self::AnyPort | Self::Silent { .. })
    }

    /// That no server was asked and why, without what to do about it.
    pub(super) fn in_short(&self) -> String {
        match self {
            Self::Silent { address, reason } => format!("no server answers at {address}: {reason}"),
            other => other.to_string(),
        }
    }
}

/// What RFC 9457 calls a problem, as far as people read it.
#[derive(Deserialize)]
struct Problem {
    detail: String,
}

impl Server {
    /// The server with this admin listener. Whether it runs is seen when it is asked.
    pub(super) fn of(admin: Option<&AdminSettings>) -> Result<Self, AskError> {
        let admin = admin.ok_or(AskError::Off)?;
        let address = reachable(admin.listen);
        if address.port() == 0 {
            return Err(AskError::AnyPort);
        }
        // Set to nothing is as good as not set.
        let given = std::env::var(TOKEN).ok().map(|token| token.trim().to_owned()).filter(|token| !token.is_empty());
        let from_environment = given.is_some();
        let token = given.or_else(|| token_of(admin));
        let operators = admin.operator_token_file.clone();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(Self { address, token, from_environment, operators, runtime })
    }

    /// What it answers to a GET of `/api/v1/` and these segments. Blocks.
    pub(super) fn get<T: DeserializeOwned>(&self, segments: &[&str]) -> Result<T, AskError> {
        self.ask(Method::GET, &path(segments), Bytes::new())
    }

    /// What it answers to a GET with this query. Blocks.
    pub(super) fn query<T: DeserializeOwned>(
        &self,
        segments: &[&str],
        query: &[(&str, String)],
    ) -> Result<T, AskError> {
        let encoded =
            |(name, value): &(&str, String)| format!("{name}={}", utf8_percent_encode(value, NON_ALPHANUMERIC));
        let query = query.iter().map(encoded).collect::<Vec<_>>().join("&");
        self.ask(Method::GET, &format!("{}?{query}", path(segments)), Bytes::new())
    }

    /// What it answers to a POST of the same. Blocks.
    pub(super) fn post<T: DeserializeOwned>(&self, segments: &[&str]) -> Result<T, AskError> {
        self.ask(Method::POST, &path(segments), Bytes::new())
    }

    /// What it answers to a POST of this body as JSON. Blocks.
    pub(super) fn send<T: DeserializeOwned>(&self, segments: &[&str], body: &impl Serialize) -> Result<T, AskError> {
        let body = serde_json::to_vec(body).map_err(std::io::Error::from)?;
        self.ask(Method::POST, &path(segments), body.into())
    }

    /// What it answers to a DELETE. Blocks.
    pub(super) fn delete<T: DeserializeOwned>(&self, segments: &[&str]) -> Result<T, AskError> {
        self.ask(Method::DELETE, &path(segments), Bytes::new())
    }

    /// Whether `path`, which is none of the API's, is answered with 200, and the text of the answer. Blocks.
    pub(super) fn probe(&self, path: &str) -> Result<(bool, String), AskError> {
        let (status, body) = self.exchange(Method::GET, path, Bytes::new())?;
        Ok((status == StatusCode::OK, String::from_utf8_lossy(&body).into_owned()))
    }

    /// Where a token could have come from.
    fn hint(&self) -> String {
        match &self.operators {
            _ if self.from_environment => format!("the token is the one in {TOKEN}"),
            Some(file) => format!("set {TOKEN}, or run this as a user who may read a token in {}", file.display()),
            None => format!("set {TOKEN}, or name the file of one in admin.operator_token_file"),
        }
    }

    /// Whether anybody listens there. Blocks.
    pub(super) fn is_there(&self) -> Result<(), AskError> {
        self.runtime.block_on(self.connect()).map(drop)
    }

    async fn connect(&self) -> Result<TcpStream, AskError> {
        let silent = |reason: String| AskError::Silent { address: self.address, reason };
        match timeout(PATIENCE, TcpStream::connect(self.address)).await {
            Ok(connected) => connected.map_err(|error| silent(error.to_string())),
            Err(_) => Err(silent(too_long())),
        }
    }

    fn exchange(&self, method: Method, target: &str, body: Bytes) -> Result<(StatusCode, Bytes), AskError> {
        let unanswered = |reason: String| AskError::Unanswered { address: self.address, reason };
        self.runtime.block_on(async {
            let socket = self.connect().await?;
            let exchanging = exchange(socket, self.address, self.token.as_deref(), method, target, body);
            match timeout(PATIENCE, exchanging).await {
                Ok(answer) => answer.map_err(|error| unanswered(error.to_string())),
                Err(_) => Err(unanswered(too_long())),
            }
        })
    }

    fn ask<T: DeserializeOwned>(&self, method: Method, target: &str, body: Bytes) -> Result<T, AskError> {
        let (status, body) = self.exchange(method, target, body)?;
        if status.is_success() {
            return serde_json::from_slice(&body).map_err(|_| AskError::Foreign(self.address));
        }
        match serde_json::from_slice::<Problem>(&body) {
            Ok(Problem { detail }) if status == StatusCode::NOT_FOUND => Err(AskError::Missing(detail)),
            Ok(Problem { detail }) if matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) => {
                Err(AskError::Unwelcome { address: self.address, detail, hint: self.hint() })
            }
            Ok(Problem { detail }) => Err(AskError::Refused { address: self.address, status, detail }),
            Err(_) => Err(AskError::Foreign(self.address)),
        }
    }
}

/// The path of these segments.
fn path(segments: &[&str]) -> String {
    segments.iter().fold("/api/v1".to_owned(), |path, segment| {
        format!("{path}/{}", utf8_percent_encode(segment, NON_ALPHANUMERIC))
    })
}

/// A token that the settings name and whoever runs the command may read: the one that may do more, if there is a choice.
fn token_of(admin: &AdminSettings) -> Option<String> {
    let files = [&admin.operator_token_file, &admin.viewer_token_file];
    files.into_iter().flatten().find_map(|file| plain_token(file))
}

/// A listener on every address of the machine answers on its loopback too.
fn reachable(mut listener: SocketAddr) -> SocketAddr {
    match listener.ip() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => listener.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => listener.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    listener
}

fn too_long() -> String {
    format!("no answer within {} s", PATIENCE.as_secs())
}

/// One request on a connection of its own.
async fn exchange(
    socket: TcpStream,
    address: SocketAddr,
    token: Option<&str>,
    method: Method,
    path: &str,
    body: Bytes,
) -> anyhow::Result<(StatusCode, Bytes)> {
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(socket)).await?;
    tokio::spawn(connection);
    let mut request = Request::builder()
        .method(method)
        .uri(path)
        .header(HOST, address.to_string())
        .header(ACCEPT, "application/json")
        .header(CONNECTION, "close");
    if let Some(token) = token {
        request = request.header(AUTHORIZATION, format!("Bearer {token}"));
    }
    if !body.is_empty() {
        request = request.header(CONTENT_TYPE, "application/json");
    }
    let response = sender.send_request(request.body(Full::new(body))?).await?;
    let status = response.status();
    Ok((status, response.into_body().collect().await?.to_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_on_all_addresses_is_asked_on_the_loopback() {
        for (listener, asked) in
            [("0.0.0.0:8081", "127.0.0.1:8081"), ("[::]:8081", "[::1]:8081"), ("192.0.2.7:8081", "192.0.2.7:8081")]
        {
            assert_eq!(reachable(listener.parse().unwrap()).to_string(), asked);
        }
    }
}
