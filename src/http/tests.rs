//! The server over loopback, byte by byte: a real depot with a cache of its own, and clients that are plain sockets.

mod assets;
mod clients;
mod limits;
mod scripts;
mod secure;

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, BufStream};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::asset::{AssetName, Digest};
use crate::boot::Boot;
use crate::cache::{Cache, CacheSettings};
use crate::catalog::{Asset, Catalog};
use crate::depot::{Depot, FillSettings};
use crate::origin::{Origins, Timeouts};
use crate::sockets::InheritedSockets;

/// Longer than any test takes: a client that waits this long has found a server that hangs.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// A server under test. What it logs is kept; its cache goes when it is dropped.
pub(crate) struct Site {
    pub(crate) address: SocketAddr,
    pub(crate) tls_address: Option<SocketAddr>,
    pub(crate) depot: Depot,
    stop: CancellationToken,
    running: JoinHandle<()>,
    log: Log,
    _logging: tracing::subscriber::DefaultGuard,
    pub(crate) dir: TempDir,
}

/// What a test serves, and how.
pub(crate) struct Plan {
    pub(crate) dir: TempDir,
    assets: Vec<Asset>,
    settings: HttpSettings,
    grace: Duration,
    stall_timeout: Duration,
}

impl Plan {
    pub(crate) fn new() -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
            assets: Vec::new(),
            settings: HttpSettings {
                advertise: None,
                listen: vec!["127.0.0.1:0".parse().unwrap()],
                tls: None,
                idle_timeout: PATIENCE,
                max_connections: 100,
            },
            grace: PATIENCE,
            stall_timeout: PATIENCE,
        }
    }

    /// An asset with a file as its source.
    pub(crate) fn file(self, name: &str, bytes: &[u8]) -> Self {
        self.claimed(name, bytes, Digest::of(bytes))
    }

    /// An asset whose source is a file that should have this digest.
    pub(crate) fn claimed(self, name: &str, bytes: &[u8], digest: Digest) -> Self {
        let path = self.dir.path().join(format!("source-{}", self.assets.len()));
        std::fs::write(&path, bytes).unwrap();
        self.source(name, &format!("file://{}", path.display()), digest)
    }

    pub(crate) fn source(mut self, name: &str, source: &str, digest: Digest) -> Self {
        self.assets.push(Asset {
            last_modified: SystemTime::UNIX_EPOCH + Duration::from_millis(1_700_000_000_500),
            ..Asset::new(AssetName::parse(name).unwrap(), digest, vec![source.parse().unwrap()])
        });
        self
    }

    pub(crate) fn idle_timeout(mut self, idle_timeout: Duration) -> Self {
        self.settings.idle_timeout = idle_timeout;
        self
    }

    pub(crate) fn max_connections(mut self, max_connections: usize) -> Self {
        self.settings.max_connections = max_connections;
        self
    }

    pub(crate) fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    pub(crate) fn stall_timeout(mut self, stall_timeout: Duration) -> Self {
        self.stall_timeout = stall_timeout;
        self
    }

    pub(crate) fn tls(mut self, cert: &Path, key: &Path) -> Self {
        let listen = self.settings.listen.clone();
        self.settings.tls = Some(TlsSettings { listen, cert: cert.to_owned(), key: key.to_owned() });
        self
    }

    pub(crate) async fn start(self) -> Site {
        let log = Log::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
        // For this thread alone, which the runtime of the test has as its only one.
        let logging = tracing::subscriber::set_default(subscriber);
        let cache = CacheSettings { dir: self.dir.path().join("cache"), max_size: 1 << 30, min_free: 0 };
        let depot = Depot::new(
            Catalog::new(self.assets).unwrap(),
            Origins::new(Vec::new(), Timeouts { connect: PATIENCE, stall: PATIENCE }).unwrap(),
            Cache::open(cache).unwrap(),
            FillSettings { retries: 0, ..FillSettings::default() },
        );
        let mut server = HttpServer::bind(self.settings, &mut InheritedSockets::default()).await.unwrap();
        server.certificate_check_interval = Duration::from_millis(1);
        server.stall_timeout = self.stall_timeout;
        let (address, tls_address) = (server.addresses()[0], server.tls_addresses().first().copied());
        let stop = CancellationToken::new();
        let running = tokio::spawn(server.serve(Boot::plain(depot.clone()), stop.clone(), self.grace));
        Site { address, tls_address, depot, stop, running, log, _logging: logging, dir: self.dir }
    }
}

impl Site {
    pub(crate) async fn connect(&self) -> Wire {
        Wire::connect(self.address).await
    }

    /// One request on a connection of its own; `fields` are whole lines without their ends.
    pub(crate) async fn ask(&self, method: &str, path: &str, fields: &[&str]) -> Reply {
        let mut wire = self.connect().await;
        wire.request(method, path, fields).await;
        wire.reply(method).await
    }

    pub(crate) async fn get(&self, path: &str, fields: &[&str]) -> Reply {
        self.ask("GET", path, fields).await
    }

    /// Waits until a transfer has ended that the log has `words` of.
    pub(crate) async fn logged(&self, words: &[&str]) {
        let wait = async {
            while !self.log.text().lines().any(|line| words.iter().all(|word| line.contains(word))) {
                tokio::task::yield_now().await;
            }
        };
        let found = tokio::time::timeout(PATIENCE, wait).await;
        assert!(found.is_ok(), "no line with {words:?} in:\n{}", self.log.text());
    }
}

/// What was logged so far.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A client's end of a connection.
pub(crate) struct Wire(pub(crate) BufStream<TcpStream>);

/// An answer as it came over the wire.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Wire {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        Self(BufStream::new(TcpStream::connect(address).await.unwrap()))
    }

    pub(crate) async fn send(&mut self, text: &str) {
        self.0.write_all(text.as_bytes()).await.unwrap();
        self.0.flush().await.unwrap();
    }

    pub(crate) async fn request(&mut self, method: &str, path: &str, fields: &[&str]) {
        let fields = [&["Host: boot"], fields, &["", ""]].concat().join("\r\n");
        self.send(&format!("{method} {path} HTTP/1.1\r\n{fields}")).await;
    }

    pub(crate) async fn head(&mut self) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(tokio::time::timeout(PATIENCE, self.0.read_u8()).await.unwrap().unwrap());
        }
        String::from_utf8(head).unwrap()
    }

    /// The next answer, whole.
    pub(crate) async fn reply(&mut self, method: &str) -> Reply {
        let mut reply = Reply { head: self.head().await, body: Vec::new() };
        if method != "HEAD" && reply.status() != 304 {
            let length = reply.field("Content-Length").unwrap().parse().unwrap();
            reply.body.resize(length, 0);
            tokio::time::timeout(PATIENCE, self.0.read_exact(&mut reply.body)).await.unwrap().unwrap();
        }
        reply
    }

    /// What comes until the server closes the connection, by whatever means.
    pub(crate) async fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        match tokio::time::timeout(PATIENCE, self.0.read_to_end(&mut rest)).await.expect("the server closes") {
            Ok(_) => {}
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::ConnectionReset),
        }
        rest
    }
}

impl Reply {
    pub(crate) fn status(&self) -> u16 {
        self.head.split(' ').nth(1).unwrap().parse().unwrap()
    }

    /// The value of a field whose name is spelled just so.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

/// Bytes in which no two places look alike.
fn noise(length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    fastrand::Rng::with_seed(7).fill(&mut bytes);
    bytes
}

/// An origin that does with each connection as `script` says.
pub(crate) async fn origin<F, T>(script: F) -> SocketAddr
where
    F: Fn(TcpStream) -> T + Send + 'static,
    T: Future<Output = io::Result<()>> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(script(stream));
        }
    });
    address
}

/// Answers one ranged request for `bytes`: at once what lies before `pause`, the rest when `go` says so.
async fn ranged(
    stream: TcpStream,
    bytes: Vec<u8>,
    pause: usize,
    mut go: tokio::sync::watch::Receiver<bool>,
) -> io::Result<()> {
    let mut wire = Wire(BufStream::new(stream));
    loop {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(wire.0.read_u8().await?);
        }
        let head = String::from_utf8_lossy(&head).to_lowercase();
        let range = head.lines().find_map(|line| line.strip_prefix("range: bytes=")?.split_once('-'));
        let (first, last) = range.unwrap_or(("0", ""));
        let start: usize = first.parse().unwrap();
        let end = last.parse().map_or(bytes.len(), |last: usize| bytes.len().min(last + 1));
        let answer = format!(
            "HTTP/1.1 206 Partial Content\r\nContent-Length: {}\r\nContent-Range: bytes {start}-{}/{}\r\nETag: \"1\"\r\n\r\n",
            end - start,
            end - 1,
            bytes.len()
        );
        wire.0.write_all(answer.as_bytes()).await?;
        let at_once = pause.clamp(start, end);
        wire.0.write_all(&bytes[start..at_once]).await?;
        wire.0.flush().await?;
        if at_once < end {
            let _ = go.wait_for(|&go| go).await;
            wire.0.write_all(&bytes[at_once..end]).await?;
            wire.0.flush().await?;
        }
    }
}
