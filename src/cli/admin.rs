//! The client of a running server's API. It knows no command.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context as _, bail};
use reqwest::{Client, Method, redirect};
use serde::de::DeserializeOwned;
use tokio::runtime::Runtime;
use tokio_rustls::rustls::RootCertStore;
use url::Url;

use crate::config::Config;
use crate::trust;

/// How long the server may take for an answer: it is on this machine, and answers from memory.
const PATIENCE: Duration = Duration::from_secs(30);

/// Asks the server that runs with some settings.
pub(super) struct AdminClient {
    address: SocketAddr,
    http: Client,
    runtime: Runtime,
}

impl AdminClient {
    /// A client of the server that runs with these settings.
    pub(super) fn new(config: &Config) -> anyhow::Result<Self> {
        let listen = config.admin.context("admin.listen is \"off\"; without it a running server cannot be asked")?;
        let address = reachable(listen);
        if address.port() == 0 {
            bail!("admin.listen leaves the port to the system; set one, so that the server can be found");
        }
        // Never used, as it is plain HTTP; but the client wants to be able to.
        let tls = trust::config(RootCertStore::empty(), false)?;
        let http = Client::builder()
            .tls_backend_preconfigured(tls)
            .no_proxy()
            .redirect(redirect::Policy::none())
            .timeout(PATIENCE)
            .build()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(Self { address, http, runtime })
    }

    /// What the server answers to a GET of `/api/v1/` and these segments.
    pub(super) fn get<T: DeserializeOwned>(&self, segments: &[&str]) -> anyhow::Result<T> {
        self.ask(Method::GET, segments)
    }

    /// What the server answers to a POST of the same.
    pub(super) fn post<T: DeserializeOwned>(&self, segments: &[&str]) -> anyhow::Result<T> {
        self.ask(Method::POST, segments)
    }

    fn ask<T: DeserializeOwned>(&self, method: Method, segments: &[&str]) -> anyhow::Result<T> {
        let mut url: Url = format!("http://{}/api/v1", self.address).parse()?;
        if let Ok(mut path) = url.path_segments_mut() {
            path.extend(segments);
        }
        let asking = async {
            let answer = self.http.request(method, url).send().await?;
            Ok::<_, reqwest::Error>((answer.status(), answer.bytes().await?))
        };
        let (status, body) = match self.runtime.block_on(asking) {
            Ok(answered) => answered,
            Err(error) if error.is_connect() => bail!(
                "no server answers at {} (admin.listen); start it with `bootdepot serve`, or say with --config which settings it runs with",
                self.address
            ),
            Err(error) => return Err(error).context("the server's answer did not come whole"),
        };
        if !status.is_success() {
            bail!("{}", String::from_utf8_lossy(&body).trim_end());
        }
        serde_json::from_slice(&body).context("the server's answer is not understood; is it of this version?")
    }
}

/// Where something is reached that listens on `listen`.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_listens_everywhere_is_reached_on_this_machine() {
        for (listen, reached) in [("0.0.0.0:1", "127.0.0.1:1"), ("[::]:1", "[::1]:1"), ("127.0.0.9:1", "127.0.0.9:1")] {
            assert_eq!(reachable(listen.parse().unwrap()), reached.parse().unwrap());
        }
    }
}
