//! The running server, as commands see it: the API of its admin listener. Where none runs, its ledger's file.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context as _, bail};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::header::{ACCEPT, CONNECTION, HOST};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::net::TcpStream;
use tokio::runtime::Runtime;

use crate::boot::{Ledger, MachineView};
use crate::config::Config;

/// How long an answer of a server on this machine may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where a command learns what machines did.
pub(super) enum Witness {
    /// A running server.
    Server(Server),
    /// The file that the last one left.
    File(Ledger),
}

/// A running server's API.
pub(super) struct Server {
    address: SocketAddr,
    runtime: Runtime,
}

/// All machines.
#[derive(Deserialize)]
struct Machines {
    hosts: Vec<MachineView>,
}

/// What RFC 9457 calls a problem, as far as people read it.
#[derive(Deserialize)]
struct Problem {
    detail: String,
}

impl Witness {
    /// The server that runs with these settings; where none answers, its file, which standard error is told of. Blocks.
    pub(super) fn of(config: &Config) -> anyhow::Result<Self> {
        let why = match config.admin {
            None => "the settings have no admin listener".to_owned(),
            Some(address) => {
                let server = Server { address: reachable(address), runtime: runtime()? };
                match server.runtime.block_on(connect(server.address)) {
                    Ok(_) => return Ok(Self::Server(server)),
                    Err(error) => format!("no server answers on {}: {error:#}", server.address),
                }
            }
        };
        let dir = &config.cache.dir;
        eprintln!("bootdepot: {why}; this is what the ledger in {} says", dir.display());
        let ledger = Ledger::read(dir).with_context(|| format!("cannot read the ledger in {}", dir.display()))?;
        Ok(Self::File(ledger))
    }

    /// Every machine.
    pub(super) fn machines(&self) -> anyhow::Result<Vec<MachineView>> {
        match self {
            Self::File(ledger) => Ok(ledger.machines()),
            Self::Server(server) => match server.get::<Machines>("/api/v1/hosts")? {
                Ok(machines) => Ok(machines.hosts),
                Err(reason) => bail!(reason),
            },
        }
    }

    /// The machine of this name, MAC or address, with its boots; else why there is none.
    pub(super) fn machine(&self, who: &str) -> anyhow::Result<Result<MachineView, String>> {
        match self {
            Self::File(ledger) => {
                let none = || "no machine with this name, MAC or address is in the ledger".to_owned();
                Ok(ledger.machine(who).ok_or_else(none))
            }
            Self::Server(server) => {
                server.get(&format!("/api/v1/hosts/{}", utf8_percent_encode(who, NON_ALPHANUMERIC)))
            }
        }
    }
}

impl Server {
    /// What is at `path`; the inner error is why there is nothing.
    fn get<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<Result<T, String>> {
        let asked = self.runtime.block_on(async { tokio::time::timeout(PATIENCE, ask(self.address, path)).await });
        let at = || format!("the server on {}", self.address);
        let (status, body) = asked.with_context(|| format!("{} does not answer", at()))?.with_context(at)?;
        match status {
            StatusCode::OK => serde_json::from_slice(&body)
                .map(Ok)
                .with_context(|| format!("{} is no bootdepot of this version", at())),
            _ => match serde_json::from_slice::<Problem>(&body) {
                Ok(problem) if status == StatusCode::NOT_FOUND => Ok(Err(problem.detail)),
                Ok(problem) => bail!("{} answers {status}: {}", at(), problem.detail),
                Err(_) => bail!("{} answers {status}; is it a bootdepot?", at()),
            },
        }
    }
}

fn runtime() -> anyhow::Result<Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?)
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

async fn connect(address: SocketAddr) -> anyhow::Result<TcpStream> {
    Ok(tokio::time::timeout(PATIENCE, TcpStream::connect(address)).await??)
}

async fn ask(address: SocketAddr, path: &str) -> anyhow::Result<(StatusCode, Bytes)> {
    let socket = TokioIo::new(connect(address).await?);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(socket).await?;
    tokio::spawn(connection);
    let request = Request::get(path)
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
