//! The server as a whole: binds listeners, opens the cache, serves, stops.

use std::convert::Infallible;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use super::addresses::Addresses;
use super::catalog::Loaded;
use super::check;
use super::error::AppError;
use super::reload::{InitialState, Reloader};
use super::service;
use crate::admin::{AdminParts, AdminServer};
use crate::boot::{Boot, Ledger, RECORD_FILE, Releases};
use crate::cache::Cache;
use crate::clock;
use crate::depot::Depot;
use crate::dhcp::DhcpServer;
use crate::http::{HttpServer, HttpSettings, plain_port};
use crate::jobs::Jobs;
use crate::origin::Origins;
use crate::sockets::InheritedSockets;
use crate::task::blocking;
use crate::telemetry::Metrics;
use crate::tftp::{BaseUrl, TftpServer};

/// How long running transfers may continue after the stop: within the 30 s after which service managers and Kubernetes
/// kill.
const GRACE: Duration = Duration::from_secs(25);
/// How often metrics are aggregated and polled gauges are set.
const MAINTENANCE_INTERVAL: Duration = Duration::from_secs(5);

/// Open files that are neither for HTTP connections nor for TFTP: 1,024 idle blobs, 8 fills with 8 connections each, 256 admin
/// connections, 64 above each limit, and room for the blobs being sent. A quarter of the limit on open files, if that is less.
const RESERVED_FILES: usize = 4096;

/// A running server.
pub struct App {
    addresses: Addresses,
    depot: Depot,
    reloader: Reloader,
    servers: TaskTracker,
    stop: CancellationToken,
    /// Ends the tasks that outlive the listeners.
    end: CancellationToken,
    ledger_task: tokio::task::JoinHandle<()>,
    scrubbing: mpsc::Sender<Infallible>,
    scrub: JoinHandle<()>,
}

impl App {
    /// Binds all listeners whose sockets are not `inherited`, opens the cache and begins to serve.
    ///
    /// Listeners are bound first: requests that arrive while a large cache is being read wait in the backlog instead of
    /// being refused.
    pub async fn start(
        loaded: impl Into<Loaded>,
        metrics: Metrics,
        mut inherited: InheritedSockets,
    ) -> Result<Self, AppError> {
        let loaded = loaded.into();
        let initial = InitialState::of(&loaded);
        let config = loaded.config;
        let inputs = config.inputs().clone();
        let advertise = config.http.advertise.clone();
        let started = clock::now();
        let http = HttpServer::bind(clamped(config.http), &mut inherited).await?;
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
            // After the cache, which creates and locks the directory.
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
        let boot = Boot::new(config.roster, releases.clone(), ledger, depot.clone());
        let (reloader, reloads) = Reloader::new(initial, boot.clone(), origins);
        let http_port = plain_port(&addresses.http, None);
        let base = advertise.map_or(BaseUrl::LocalAddress { http_port }, BaseUrl::Configured);

        let (stop, end, servers) = (CancellationToken::new(), CancellationToken::new(), TaskTracker::new());
        let ledger_task = tokio::spawn(run_ledger(boot.clone(), end.clone()));
        if let Some(dhcp) = dhcp {
            servers.spawn(dhcp.with_http_port(http_port).serve(boot.clone(), stop.clone()));
        }
        let notification =
            service::keep(boot.clone(), addresses.clone(), tftp.liveness_check(), stop.clone(), end.clone());
        servers.spawn(http.serve(boot.clone(), stop.clone(), GRACE));
        servers.spawn(tftp.serve(boot.clone(), base, stop.clone(), GRACE));
        let (rendered, watched) = (metrics.clone(), boot.clone());
        if let Some(admin) = admin {
            let parts = AdminParts {
                boot: boot.clone(),
                metrics: Arc::new(move || rendered.render()),
                reloading: reloader.reloading(),
                jobs: Jobs::with_checks(boot.clone(), check::checker(inputs, reloader.in_force())),
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
        let sealed = depot.cache().clone();
        // Not joined by the stop: the kernel may be reading a large file for it.
        std::thread::Builder::new()
            .name("seal".to_owned())
            .spawn(move || sealed.seal_loop())
            .map_err(AppError::Thread)?;
        for (protocol, addresses) in addresses.by_protocol() {
            for address in addresses {
                info!(protocol, %address, "listening");
            }
        }
        service::ready();
        // The status line follows the readiness notification.
        tokio::spawn(notification);
        Ok(Self { addresses, depot, reloader, servers, stop, end, ledger_task, scrubbing, scrub })
    }

    /// The addresses of its listeners.
    pub fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// Reloads configuration and catalog, and reports their status.
    pub fn reloader(&self) -> &Reloader {
        &self.reloader
    }

    /// Stops accepting requests, lets running transfers end within the grace period, keeps partial fills, and returns.
    pub async fn stop(self) {
        self.stop.cancel();
        self.servers.close();
        self.servers.wait().await;
        self.depot.close().await;
        self.depot.cache().stop_sealing();
        self.end.cancel();
        drop(self.scrubbing);
        // Ignored for the same reason as the thread below.
        let _ = self.ledger_task.await;
        // It records the blobs' last uses before it ends; after a panic nothing more can be done.
        let _ = tokio::task::spawn_blocking(|| self.scrub.join()).await;
    }
}

/// Reduces the limit on connections to what the limit on open files allows.
fn clamped(mut http: HttpSettings) -> HttpSettings {
    let open_files = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    let open_files = open_files.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usize::MAX);
    let allowed = connections_for(open_files);
    let wanted = http.max_connections;
    if wanted > allowed {
        let message = "http.max_connections reduced to the limit of open files";
        // More than half of them is enough for the racks of most sites.
        if allowed < wanted / 2 {
            warn!(max_connections = wanted, allowed, open_files, "{message}");
        } else {
            info!(max_connections = wanted, allowed, open_files, "{message}");
        }
        http.max_connections = allowed;
    }
    http
}

/// The connections that a limit on open files allows. A part is for the cache, for fills and for the admin listener, and
/// TFTP, which may have a socket for each transfer, uses at most a quarter of the limit.
fn connections_for(open_files: usize) -> usize {
    let quarter = open_files / 4;
    (open_files - RESERVED_FILES.min(quarter) - quarter).max(1)
}

/// Records what machines do and writes it to disk, until `end`.
async fn run_ledger(boot: Boot, end: CancellationToken) {
    let noted = CancellationToken::new();
    let note = async {
        boot.follow_transfers(&end).await;
        noted.cancel();
    };
    tokio::join!(note, boot.ledger().persist(noted.clone()), boot.ledger().report(&noted));
}

async fn upkeep(metrics: Metrics, boot: Boot, end: CancellationToken) {
    let mut every = tokio::time::interval(MAINTENANCE_INTERVAL);
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while end.run_until_cancelled(every.tick()).await.is_some() {
        metrics.upkeep();
        boot.update_gauges();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn open_files_limit_connections() {
        for (open_files, expected) in [(131_072, 94_208), (20_000, 10_904), (1024, 512), (0, 1)] {
            assert_eq!(connections_for(open_files), expected, "{open_files}");
        }
        assert!(connections_for(usize::MAX) > 1 << 30);
    }
}
