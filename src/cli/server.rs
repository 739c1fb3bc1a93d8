//! The client of a running server's API. It knows no command.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::header::{ACCEPT, CONNECTION, HOST};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::time::timeout;

use crate::config::Config;

/// How long a server on this machine, which answers from memory, may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Asks the server that runs with some settings.
pub(super) struct Server {
    address: SocketAddr,
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
    /// It says that there is no such thing.
    #[error("{0}")]
    Missing(String),
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

/// What RFC 9457 calls a problem, as far as people read it.
#[derive(Deserialize)]
struct Problem {
    detail: String,
}

impl Server {
    /// The server that runs with these settings. Whether it does is seen when it is asked.
    pub(super) fn of(config: &Config) -> Result<Self, AskError> {
        let address = reachable(config.admin.ok_or(AskError::Off)?);
        if address.port() == 0 {
            return Err(AskError::AnyPort);
        }
        Ok(Self { address, runtime: tokio::runtime::Builder::new_current_thread().enable_all().build()? })
    }

    /// What it answers to a GET of `/api/v1/` and these segments. Blocks.
    pub(super) fn get<T: DeserializeOwned>(&self, segments: &[&str]) -> Result<T, AskError> {
        self.ask(Method::GET, segments)
    }

    /// What it answers to a POST of the same. Blocks.
    pub(super) fn post<T: DeserializeOwned>(&self, segments: &[&str]) -> Result<T, AskError> {
        self.ask(Method::POST, segments)
    }

    fn ask<T: DeserializeOwned>(&self, method: Method, segments: &[&str]) -> Result<T, AskError> {
        let silent = |reason: String| AskError::Silent { address: self.address, reason };
        let path = segments.iter().fold("/api/v1".to_owned(), |path, segment| {
            format!("{path}/{}", utf8_percent_encode(segment, NON_ALPHANUMERIC))
        });
        let asking = async { timeout(PATIENCE, exchange(self.address, method, &path)).await };
        let (status, body) = match self.runtime.block_on(asking) {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => return Err(silent(error.to_string())),
            Err(_) => return Err(silent(format!("no answer within {} s", PATIENCE.as_secs()))),
        };
        if status.is_success() {
            return serde_json::from_slice(&body).map_err(|_| AskError::Foreign(self.address));
        }
        match serde_json::from_slice::<Problem>(&body) {
            Ok(Problem { detail }) if status == StatusCode::NOT_FOUND => Err(AskError::Missing(detail)),
            Ok(Problem { detail }) => Err(AskError::Refused { address: self.address, status, detail }),
            Err(_) => Err(AskError::Foreign(self.address)),
        }
    }
}

/// A listener on every address of the machine answers on its loopback too.
pub(super) fn reachable(mut listener: SocketAddr) -> SocketAddr {
    match listener.ip() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => listener.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => listener.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    listener
}

/// One request on a connection of its own.
async fn exchange(address: SocketAddr, method: Method, path: &str) -> anyhow::Result<(StatusCode, Bytes)> {
    let socket = TokioIo::new(TcpStream::connect(address).await?);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(socket).await?;
    tokio::spawn(connection);
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(HOST, address.to_string())
        .header(ACCEPT, "application/json")
        .header(CONNECTION, "close")
        .body(Empty::<Bytes>::new())?;
    let response = sender.send_request(request).await?;
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
