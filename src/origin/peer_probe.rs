//! Probes of a peer whose failure has more than one explanation: whether it accepts connections, and whether it speaks TLS or
//! plain HTTP. Each opens one short connection, after a request failed.

use std::collections::VecDeque;
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

/// Peers to remember at most.
const CAPACITY: usize = 64;

/// A protocol that a peer may speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Protocol {
    Http,
    Tls,
}

/// A peer's answer to a probe.
struct Answered {
    peer: String,
    protocol: Protocol,
    at: Instant,
    speaks: bool,
}

/// The latest answers.
static ANSWERED: Mutex<VecDeque<Answered>> = Mutex::new(VecDeque::new());

/// Whether a TCP connection to this host and port is accepted.
pub(super) async fn accepts((host, port): &(String, u16)) -> bool {
    matches!(timeout(LONGEST, TcpStream::connect((host.as_str(), *port))).await, Ok(Ok(_)))
}

/// Whether the peer of an `https://` URL that did not answer the handshake speaks plain HTTP: many servers wait for the end of a
/// line that is not there.
pub(super) async fn speaks_http(url: &Url) -> bool {
    let asking = async { plain_request(url).await.unwrap_or(false) };
    remembered(url, Protocol::Http, asking).await
}

/// Whether the peer of an `http://` URL speaks TLS.
pub(super) async fn speaks_tls(url: &Url) -> bool {
    remembered(url, Protocol::Tls, handshake(url)).await
}

/// Returns the peer's last answer, or asks it.
async fn remembered(url: &Url, protocol: Protocol, asking: impl Future<Output = bool>) -> bool {
    let peer = url.origin().ascii_serialization();
    let known = |it: &&Answered| it.peer == peer && it.protocol == protocol && it.at.elapsed() < REMEMBERED;
    if let Some(speaks) = ANSWERED.lock().iter().find(known).map(|it| it.speaks) {
        return speaks;
    }
    let speaks = timeout(LONGEST, asking).await.unwrap_or(false);
    let mut answered = ANSWERED.lock();
    answered.truncate(CAPACITY - 1);
    answered.push_front(Answered { peer, protocol, at: Instant::now(), speaks });
    speaks
}

async fn plain_request(url: &Url) -> io::Result<bool> {
    let (host, port) = (bare_host(url), url.port_or_known_default().unwrap_or(443));
    let mut stream = TcpStream::connect((host.as_str(), port)).await?;
    stream.write_all(b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await?;
    let mut start = [0; 5];
    stream.read_exact(&mut start).await?;
    Ok(&start == b"HTTP/")
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
