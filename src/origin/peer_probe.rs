//! Probes of a peer whose failure has more than one explanation: whether it accepts connections, and whether it speaks TLS or
//! plain HTTP. Each opens one short connection, after a request failed.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::{Error, RootCertStore};
use url::Url;

use super::proxy::bare_host;
use crate::trust;

/// The longest time of one probe: the failed request has taken its time already.
const LONGEST: Duration = Duration::from_secs(2);

/// How long the protocol of a peer is remembered, so that the retries of many fills do not each ask again.
const REMEMBERED: Duration = Duration::from_mins(1);

/// The peer that was asked last for its protocol, when, and whether it speaks TLS.
static LAST: Mutex<Option<(String, Instant, bool)>> = Mutex::new(None);

/// Whether a TCP connection to this host and port is accepted.
pub(super) async fn accepts((host, port): &(String, u16)) -> bool {
    matches!(timeout(LONGEST, TcpStream::connect((host.as_str(), *port))).await, Ok(Ok(_)))
}

/// Whether the peer of an `https://` URL that did not answer the handshake speaks plain HTTP: many servers wait for the end of a
/// line that is not there.
pub(super) async fn speaks_http(url: &Url) -> bool {
    timeout(LONGEST, plain_request(url)).await.is_ok_and(|answered| answered.is_ok_and(|it| it))
}

async fn plain_request(url: &Url) -> io::Result<bool> {
    let (host, port) = (bare_host(url), url.port_or_known_default().unwrap_or(443));
    let mut stream = TcpStream::connect((host.as_str(), port)).await?;
    stream.write_all(b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await?;
    let mut start = [0; 5];
    stream.read_exact(&mut start).await?;
    Ok(&start == b"HTTP/")
}

/// Whether the peer of an `http://` URL speaks TLS.
pub(super) async fn speaks_tls(url: &Url) -> bool {
    let peer = url.origin().ascii_serialization();
    if let Some((asked, at, is_tls)) = &*LAST.lock()
        && *asked == peer
        && at.elapsed() < REMEMBERED
    {
        return *is_tls;
    }
    let is_tls = timeout(LONGEST, handshake(url)).await.unwrap_or(false);
    *LAST.lock() = Some((peer, Instant::now(), is_tls));
    is_tls
}

async fn handshake(url: &Url) -> bool {
    let host = bare_host(url);
    let Ok(name) = ServerName::try_from(host.clone()) else { return false };
    let Ok(config) = trust::client_config(RootCertStore::empty(), true) else { return false };
    let address = (host, url.port_or_known_default().unwrap_or(80));
    let Ok(stream) = TcpStream::connect((address.0.as_str(), address.1)).await else { return false };
    match TlsConnector::from(Arc::new(config)).connect(name, stream).await {
        Ok(_) => true,
        // An alert is an answer in TLS.
        Err(error) => matches!(trust::find(&error), Some(error) if !matches!(error, Error::InvalidMessage(_))),
    }
}
