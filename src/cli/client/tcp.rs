//! The transport to a running server: one connection a request, and the token that goes with it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use axum::body::Body;
use hyper::header::{AUTHORIZATION, CONNECTION, HOST, HeaderValue};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::error::ClientError;
use super::reply::Reply;
use crate::admin::{AdminSettings, plain_token};
use crate::environment;

/// How long a server on this machine, which answers from memory, may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The variable that holds a token for the API.
const TOKEN: &str = "BOOTDEPOT_TOKEN";

/// Where a server is, and the token for it.
pub(super) struct Tcp {
    address: SocketAddr,
    token: Option<String>,
    /// Whether the token is from [`TOKEN`].
    from_environment: bool,
    /// The file with the tokens of operators.
    operators: Option<PathBuf>,
}

impl Tcp {
    /// The server with this admin listener. Connects to nothing.
    pub(super) fn new(admin: Option<&AdminSettings>) -> Result<Self, ClientError> {
        let admin = admin.ok_or(ClientError::Off)?;
        let address = reachable(admin.listen);
        if address.port() == 0 {
            return Err(ClientError::AnyPort);
        }
        let given = environment::variable(TOKEN);
        let from_environment = given.is_some();
        let token = given.or_else(|| token_of(admin));
        Ok(Self { address, token, from_environment, operators: admin.operator_token_file.clone() })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Fails if nothing listens there.
    pub(super) async fn probe(&self) -> Result<(), ClientError> {
        self.connect().await.map(drop)
    }

    /// Sends a request and reads the response, on a connection of its own. `waits`: however long the server takes for it.
    pub(super) async fn send(&self, request: Request<Body>, waits: bool) -> Result<Reply, ClientError> {
        let socket = self.connect().await?;
        let exchanging = async { anyhow::Ok(Reply::read(self.exchange(socket, request).await?).await?) };
        if waits {
            return exchanging.await.map_err(|error| self.no_response(error.to_string()));
        }
        self.within_timeout(exchanging).await
    }

    /// Sends a request and returns the response while its body is still coming.
    pub(super) async fn stream(&self, request: Request<Body>) -> Result<Response<Body>, ClientError> {
        let socket = self.connect().await?;
        self.within_timeout(self.exchange(socket, request)).await
    }

    /// The error of a response that refuses the token.
    pub(super) fn unauthorized(&self, detail: String) -> ClientError {
        let hint = match &self.operators {
            _ if self.from_environment => format!("the token is the one in {TOKEN}"),
            Some(file) => format!("set {TOKEN}, or run this as a user who may read a token in {}", file.display()),
            None => format!("set {TOKEN}, or name the file of one in admin.operator_token_file"),
        };
        ClientError::Unauthorized { address: self.address, detail, hint }
    }

    async fn connect(&self) -> Result<TcpStream, ClientError> {
        let failed = |reason: String| ClientError::ConnectFailed { address: self.address, reason };
        match timeout(TIMEOUT, TcpStream::connect(self.address)).await {
            Ok(connected) => connected.map_err(|error| failed(error.to_string())),
            Err(_) => Err(failed(too_long())),
        }
    }

    async fn within_timeout<T>(&self, work: impl Future<Output = anyhow::Result<T>>) -> Result<T, ClientError> {
        match timeout(TIMEOUT, work).await {
            Ok(done) => done.map_err(|error| self.no_response(error.to_string())),
            Err(_) => Err(self.no_response(too_long())),
        }
    }

    fn no_response(&self, reason: String) -> ClientError {
        ClientError::NoResponse { address: self.address, reason }
    }

    async fn exchange(&self, socket: TcpStream, mut request: Request<Body>) -> anyhow::Result<Response<Body>> {
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(socket)).await?;
        tokio::spawn(connection);
        let fields = request.headers_mut();
        // Without the zone of a link-local address, which means nothing to the server (RFC 6874 4).
        let host = SocketAddr::new(self.address.ip(), self.address.port());
        fields.insert(HOST, HeaderValue::try_from(host.to_string())?);
        fields.insert(CONNECTION, HeaderValue::from_static("close"));
        if let Some(token) = &self.token {
            fields.insert(AUTHORIZATION, HeaderValue::try_from(format!("Bearer {token}"))?);
        }
        Ok(sender.send_request(request).await?.map(Body::new))
    }
}

/// A token from the files that the settings name, if this user may read one: an operator's rather than a viewer's.
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
    format!("no answer within {} s", TIMEOUT.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unspecified_address_becomes_loopback() {
        for (listener, asked) in
            [("0.0.0.0:8081", "127.0.0.1:8081"), ("[::]:8081", "[::1]:8081"), ("192.0.2.7:8081", "192.0.2.7:8081")]
        {
            assert_eq!(reachable(listener.parse().unwrap()).to_string(), asked);
        }
    }
}
