//! The server as a whole: binds, opens, serves, stops.

use std::convert::Infallible;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::info;

use super::addresses::Addresses;
use super::catalog::Loaded;
use super::error::AppError;
use super::reload::{Reloader, Seed};
use super::service;
use crate::admin::{AdminParts, AdminServer};
use crate::boot::{Boot, Ledger, RECORD_FILE, Releases};
use crate::cache::Cache;
use crate::depot::Depot;
use crate::dhcp::DhcpServer;
use crate::http::{HttpServer, plain_port};
use crate::jobs::Jobs;
use crate::origin::Origins;
use crate::sockets::InheritedSockets;
use crate::task::blocking;
use crate::telemetry::Metrics;
use crate::tftp::{BaseUrl, TftpServer};

/// How long running transfers may go on after the server was told to stop: within the 30 s that service managers and
/// Kubernetes give before they kill.
const GRACE: Duration = Duration::from_secs(25);
/// How often metrics are folded, and gauges set of what nobody counts.
const UPKEEP: Duration = Duration::from_secs(5);

/// A running server.
pub struct App {
    addresses: Addresses,
    depot: Depot,
    reloader: Reloader,
    servers: TaskTracker,
    stop: CancellationToken,
    /// Ends what goes on until the servers have ended.
    end: CancellationToken,
    books: tokio::task::JoinHandle<()>,
    scrubbing: mpsc::Sender<Infallible>,
    scrub: JoinHandle<()>,
}

impl App {
    /// Binds all listeners whose sockets are not `inherited`, opens the cache and begins to serve.
    ///
    /// The listeners are bound first: a machine that asks while a large cache is being read waits, and is not refused.
    pub async fn start(
        loaded: impl Into<Loaded>,
        metrics: Metrics,
        mut inherited: InheritedSockets,
    ) -> Result<Self, AppError> {
        let loaded = loaded.into();
        let seed = Seed::of(&loaded);
        let config = loaded.config;
        let advertise = config.http.advertise.clone();
        let started = Timestamp::now();
        let http = HttpServer::bind(config.http, &mut inherited).await?;
        let admin = match config.admin {
            Some(settings) => Some(AdminServer::bind(settings, &mut inherited).await?),
            None => None,
        };
        let tftp = TftpServer::bind(config.tftp, &mut inherited)?;
        inherited.finish()?;
        let dhcp = config.dhcp.map(DhcpServer::bind).transpose()?;
        let addresses = Addresses {
            http: http.addresses(),
            https: http.tls_addresses(),
            tftp: tftp.addresses(),
            admin: admin.as_ref().map(AdminServer::address),
        };

        let record = config.cache.dir.join(RECORD_FILE);
        let (settings, origins, timeouts) = (config.cache, config.origins, config.timeouts);
        let opening = blocking(move || {
            let origins = Origins::new(origins, timeouts)?;
            let dir = settings.dir.clone();
            let cache = Cache::open(settings)?;
            // After the cache, which makes the directory and locks it.
            Ok::<_, AppError>((origins, cache, Ledger::open(&dir)))
        });
        let (origins, cache, ledger) = opening.await?;
        let (catalog, theirs, held, fill) = (config.catalog, origins.clone(), cache.clone(), config.fill);
        let listed = config.releases;
        let opening = blocking(move || {
            let depot = Depot::new(catalog, theirs, held, fill);
            let releases = Releases::open(listed, depot.clone(), record);
            (depot, releases)
        });
        let (depot, releases) = opening.await;
        let boot = Boot::new(config.roster, releases.clone(), ledger.clone(), depot.clone());
        let (reloader, reloads) = Reloader::new(seed, boot.clone(), origins);
        let http_port = plain_port(&addresses.http, None);
        let base = advertise.map_or(BaseUrl::LocalAddress { http_port }, BaseUrl::Configured);

        let (stop, end, servers) = (CancellationToken::new(), CancellationToken::new(), TaskTracker::new());
        let books = tokio::spawn(keep_books(ledger, depot.clone(), end.clone()));
        if let Some(dhcp) = dhcp {
            servers.spawn(dhcp.with_http_port(http_port).serve(boot.clone(), stop.clone()));
        }
        let telling = service::keep(boot.clone(), addresses.clone(), tftp.liveness_check(), stop.clone(), end.clone());
        servers.spawn(http.serve(boot.clone(), stop.clone(), GRACE));
        servers.spawn(tftp.serve(boot.clone(), base, stop.clone(), GRACE));
        let (rendered, watched) = (metrics.clone(), boot.clone());
        if let Some(admin) = admin {
            let parts = AdminParts {
                boot: boot.clone(),
                metrics: Arc::new(move || rendered.render()),
                reloading: reloader.reloading(),
                jobs: Jobs::new(boot.clone()),
                listeners: addresses.listeners(),
                started,
            };
            servers.spawn(admin.serve(parts, stop.clone()));
        }
        let keeping = (stop.clone(), stop.clone());
        servers.spawn(async move { releases.reconcile(keeping.0).await });
        let pinning = depot.clone();
        servers.spawn(async move { pinning.maintain_pins(keeping.1).await });
        servers.spawn(reloads.run(stop.clone()));
        tokio::spawn(upkeep(metrics, watched, end.clone()));
        let (scrubbing, told) = mpsc::channel();
        let (thread, interval) = (std::thread::Builder::new().name("scrub".to_owned()), config.scrub_interval);
        // A thread of its own: it reads the disk for as long as the server runs.
        let scrub = thread.spawn(move || cache.scrub_loop(interval, &told)).map_err(AppError::Thread)?;
        for (protocol, addresses) in addresses.by_protocol() {
            for address in addresses {
                info!(protocol, %address, "listening");
            }
        }
        service::ready();
        // How it stands is said of one that is ready.
        tokio::spawn(telling);
        Ok(Self { addresses, depot, reloader, servers, stop, end, books, scrubbing, scrub })
    }

    /// Where it listens.
    pub fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// Has settings and catalog loaded again, and says how they stand.
    pub fn reloader(&self) -> &Reloader {
        &self.reloader
    }

    /// Takes no more requests, lets running transfers end within the grace period, keeps what fills have, and returns.
    pub async fn stop(self) {
        self.stop.cancel();
        self.servers.close();
        self.servers.wait().await;
        self.depot.close().await;
        self.end.cancel();
        drop(self.scrubbing);
        // As with the thread below.
        let _ = self.books.await;
        // It notes the blobs' last uses before it ends; if it panicked there is nothing more to do.
        let _ = tokio::task::spawn_blocking(|| self.scrub.join()).await;
    }
}

/// Takes note of what machines do, and writes it down, until the end.
async fn keep_books(ledger: Ledger, depot: Depot, end: CancellationToken) {
    let noted = CancellationToken::new();
    let note = async {
        ledger.follow(&depot, &end).await;
        noted.cancel();
    };
    tokio::join!(note, ledger.persist(noted.clone()));
}

async fn upkeep(metrics: Metrics, boot: Boot, end: CancellationToken) {
    let mut every = tokio::time::interval(UPKEEP);
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while end.run_until_cancelled(every.tick()).await.is_some() {
        metrics.upkeep();
        boot.update_gauges();
    }
}
