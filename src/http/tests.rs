//! Tests of the HTTP server over loopback: a depot with a cache of its own, and clients on plain sockets.

mod assets;
mod clients;
mod limits;
mod memory;
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
use crate::address_share::ShareSettings;
use crate::asset::{AssetName, Digest};
use crate::boot::Boot;
use crate::cache::{Cache, CacheSettings};
use crate::catalog::{Asset, Catalog};
use crate::depot::{Depot, FillSettings};
use crate::memory::MemoryBudget;
use crate::origin::{Origins, Timeouts};
use crate::sockets::InheritedSockets;
use crate::transport::testing::{LONG, TestConnection, TestResponse, within_deadline};

/// An HTTP server under test. Keeps its log lines; its cache is deleted on drop.
pub(crate) struct TestServer {
    pub(crate) address: SocketAddr,
    pub(crate) tls_address: Option<SocketAddr>,
    pub(crate) depot: Depot,
    memory: Arc<MemoryBudget>,
    stop: CancellationToken,
    serving: JoinHandle<()>,
    log: CapturedLog,
    _logging: tracing::subscriber::DefaultGuard,
    pub(crate) dir: TempDir,
}

/// Assets and settings of a [`TestServer`].
pub(crate) struct TestServerBuilder {
    pub(crate) dir: TempDir,
    assets: Vec<Asset>,
    settings: HttpSettings,
    grace: Duration,
    stall_timeout: Duration,
}

impl TestServerBuilder {
    fn new() -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
            assets: Vec::new(),
            settings: HttpSettings {
                // The clients of most tests have this address.
                shares: ShareSettings { trusted: vec!["127.0.0.1".parse().unwrap()], ..ShareSettings::default() },
                advertise: None,
                listen: vec!["127.0.0.1:0".parse().unwrap()],
                tls: None,
                idle_timeout: LONG,
                min_rate: 512,
                memory: 64 << 20,
                max_connections: 100,
            },
            grace: LONG,
            stall_timeout: LONG,
        }
    }

    /// Adds an asset whose source is a file with these bytes.
    pub(crate) fn file(self, name: &str, bytes: &[u8]) -> Self {
        self.file_with_digest(name, bytes, Digest::of(bytes))
    }

    /// Adds an asset whose source is a file with these bytes, and whose catalog entry has this digest.
    pub(crate) fn file_with_digest(self, name: &str, bytes: &[u8], digest: Digest) -> Self {
        let path = self.dir.path().join(format!("source-{}", self.assets.len()));
        std::fs::write(&path, bytes).unwrap();
        self.source(name, &format!("file://{}", path.display()), digest)
    }

    /// Adds an asset with this source URL.
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

    pub(crate) fn min_rate(mut self, min_rate: u64) -> Self {
        self.settings.min_rate = min_rate;
        self
    }

    pub(crate) fn memory(mut self, memory: usize) -> Self {
        self.settings.memory = memory;
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

    pub(crate) async fn start(self) -> TestServer {
        let log = CapturedLog::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
        // For this thread only: the runtime of the test has no other.
        let logging = tracing::subscriber::set_default(subscriber);
        let cache = CacheSettings {
            dir: self.dir.path().join("cache"),
            max_size: 1 << 30,
            min_free: 0,
            seal: crate::cache::SealPolicy::Off,
        };
        let depot = Depot::new(
            Catalog::new(self.assets).unwrap(),
            Origins::new(Vec::new(), Timeouts { connect: LONG, stall: LONG }).unwrap(),
            Cache::open(cache).unwrap(),
            FillSettings { retries: 0, ..FillSettings::default() },
        );
        let mut server = HttpServer::bind(self.settings, &mut InheritedSockets::default()).await.unwrap();
        server.certificate_check_interval = Duration::from_millis(1);
        server.stall_timeout = self.stall_timeout;
        let (address, tls_address) = (server.addresses()[0], server.tls_addresses().first().copied());
        let memory = Arc::clone(&server.memory);
        let stop = CancellationToken::new();
        let serving = tokio::spawn(server.serve(Boot::assets_only(depot.clone()), stop.clone(), self.grace));
        TestServer { address, tls_address, depot, memory, stop, serving, log, _logging: logging, dir: self.dir }
    }
}

impl TestServer {
    pub(crate) fn builder() -> TestServerBuilder {
        TestServerBuilder::new()
    }

    pub(crate) async fn connect(&self) -> TestConnection {
        TestConnection::connect(self.address).await
    }

    /// Sends one request on a new connection; `fields` are whole lines without their ends.
    pub(crate) async fn request(&self, method: &str, path: &str, fields: &[&str]) -> TestResponse {
        let mut connection = self.connect().await;
        connection.send_request(method, path, fields).await;
        connection.read_response(method).await
    }

    pub(crate) async fn get(&self, path: &str, fields: &[&str]) -> TestResponse {
        self.request("GET", path, fields).await
    }

    /// Stops the server and waits until it has ended.
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        within_deadline("the end of the server", self.serving).await.unwrap();
    }

    /// Waits until the log has a line with all of these `words`.
    pub(crate) async fn wait_for_log(&self, words: &[&str]) {
        let log = &self.log;
        let wait = async {
            while !log.text().lines().any(|line| words.iter().all(|word| line.contains(word))) {
                tokio::task::yield_now().await;
            }
        };
        within_deadline(&format!("a log line with {words:?}"), wait).await;
    }
}

/// Everything that was logged so far.
#[derive(Clone, Default)]
pub(crate) struct CapturedLog(Arc<Mutex<Vec<u8>>>);

impl CapturedLog {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl io::Write for CapturedLog {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Pseudo-random bytes, the same in each run.
fn random_bytes(length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    fastrand::Rng::with_seed(7).fill(&mut bytes);
    bytes
}

/// Starts an origin that runs `script` on each connection.
pub(crate) async fn fake_origin<F, T>(script: F) -> SocketAddr
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

/// Answers range requests for `bytes`: sends those before the offset `pause` at once, the others when `go` becomes true.
async fn serve_ranged(
    stream: TcpStream,
    bytes: Vec<u8>,
    pause: usize,
    mut go: tokio::sync::watch::Receiver<bool>,
) -> io::Result<()> {
    let mut connection = BufStream::new(stream);
    loop {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(connection.read_u8().await?);
        }
        let head = String::from_utf8_lossy(&head).to_lowercase();
        let range = head.lines().find_map(|line| line.strip_prefix("range: bytes=")?.split_once('-'));
        let (first, last) = range.unwrap_or(("0", ""));
        let start: usize = first.parse().unwrap();
        let end = last.parse().map_or(bytes.len(), |last: usize| bytes.len().min(last + 1));
        let head = format!(
            "HTTP/1.1 206 Partial Content\r\nContent-Length: {}\r\nContent-Range: bytes {start}-{}/{}\r\nETag: \"1\"\r\n\r\n",
            end - start,
            end - 1,
            bytes.len()
        );
        connection.write_all(head.as_bytes()).await?;
        let at_once = pause.clamp(start, end);
        connection.write_all(&bytes[start..at_once]).await?;
        connection.flush().await?;
        if at_once < end {
            let _ = go.wait_for(|&go| go).await;
            connection.write_all(&bytes[at_once..end]).await?;
            connection.flush().await?;
        }
    }
}
