//! Tests the server over loopback sockets, with a depot whose origin is a directory.

mod client;
mod content;
mod requests;
mod server;
mod sessions;

use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant, SystemTime};

use tokio_util::sync::CancellationToken;

use super::{BaseUrl, LivenessCheck, TftpServer, TftpSettings};
use crate::asset::{AssetName, Digest};
use crate::boot::Boot;
use crate::cache::{Cache, CacheSettings};
use crate::catalog::{Asset, Catalog};
use crate::depot::{Depot, FillSettings};
use crate::origin::{Origins, Timeouts};
use crate::sockets::InheritedSockets;

/// How long a test waits for anything before it fails.
const TEST_TIMEOUT: Duration = Duration::from_mins(1);

/// A server with the assets `image` (70,001 bytes), `even` (1024 bytes), `empty`, `text`, and `cold`, whose origin accepts
/// connections and never answers.
struct TestServer {
    address: SocketAddr,
    /// All listen addresses.
    addresses: Vec<SocketAddr>,
    liveness: LivenessCheck,
    stop: CancellationToken,
    served: Option<tokio::task::JoinHandle<Result<(), super::TftpError>>>,
    runtime: tokio::runtime::Runtime,
    _silent: TcpListener,
    dir: tempfile::TempDir,
}

fn settings(listen: &str) -> TftpSettings {
    TftpSettings {
        shares: crate::address_share::ShareSettings::default(),
        listen: vec![listen.parse().unwrap()],
        max_blksize: 1468,
        max_windowsize: 64,
        single_port: false,
        max_transfers: 100,
        timeout: Duration::from_secs(1),
        retries: 6,
        first_byte_deadline: Duration::from_secs(30),
        files: [("\\undionly.kpxe".to_owned(), "image".to_owned())].into(),
    }
}

fn image() -> Vec<u8> {
    (0..70_001u32).flat_map(|at| at.wrapping_mul(2_654_435_761).to_be_bytes()).step_by(4).collect()
}

impl TestServer {
    fn start(settings: TftpSettings) -> Self {
        Self::start_with(|| TftpServer::bind(settings, &mut InheritedSockets::default()))
    }

    fn start_with(bind: impl FnOnce() -> Result<TftpServer, super::TftpError>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let contents =
            [("image", image()), ("even", vec![7; 1024]), ("empty", vec![]), ("text", b"one\ntwo\r\n".to_vec())];
        let mut assets: Vec<Asset> = contents
            .iter()
            .map(|(name, bytes)| {
                let path = dir.path().join(name);
                std::fs::write(&path, bytes).unwrap();
                asset(name, &format!("file://{}", path.display()), Digest::of(bytes))
            })
            .collect();
        let silent_url = format!("http://{}/cold", silent.local_addr().unwrap());
        assets.push(asset("cold", &silent_url, Digest::of(b"never seen")));
        let cache = CacheSettings {
            dir: dir.path().join("cache"),
            max_size: 1 << 30,
            min_free: 0,
            seal: crate::cache::SealPolicy::Off,
        };
        let cache = Cache::open(cache).unwrap();
        let origins = Origins::new(Vec::new(), Timeouts::default()).unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let (depot, bound) = runtime.block_on(async {
            let depot = Depot::new(Catalog::new(assets).unwrap(), origins, cache, FillSettings::default());
            (depot, bind().unwrap())
        });
        let (addresses, liveness, stop) = (bound.addresses(), bound.liveness_check(), CancellationToken::new());
        let base_url = BaseUrl::LocalAddress { http_port: 8080 };
        let served = runtime.spawn(bound.serve(Boot::assets_only(depot), base_url, stop.clone(), Duration::ZERO));
        Self { address: addresses[0], addresses, liveness, stop, served: Some(served), runtime, _silent: silent, dir }
    }

    /// The server's port at another address of this machine.
    fn at(&self, ip: &str) -> SocketAddr {
        SocketAddr::new(ip.parse().unwrap(), self.address.port())
    }

    fn stop(&mut self) {
        self.stop.cancel();
        if let Some(served) = self.served.take() {
            self.runtime.block_on(served).unwrap().unwrap();
        }
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        self.stop();
    }
}

fn asset(name: &str, source: &str, digest: Digest) -> Asset {
    Asset {
        name: AssetName::parse(name).unwrap(),
        digest,
        sources: vec![source.parse().unwrap()],
        size: None,
        content_type: "application/octet-stream".into(),
        pin: false,
        blocks: None,
        last_modified: SystemTime::UNIX_EPOCH,
    }
}
