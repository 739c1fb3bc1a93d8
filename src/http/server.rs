//! The HTTP server: binds its listeners, serves them, and stops.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::error::HttpError;
use super::service::Service;
use super::settings::HttpSettings;
use crate::boot::Boot;
use crate::memory::MemoryBudget;
use crate::sockets::{self, InheritedSockets};
use crate::task::blocking;
use crate::transport::{self, Certificate, ConnectionLimit, ListenError, ListenerConfig, ProgressLimits, RefusalLog};

/// How often the certificate files are checked. A check costs two system calls, and certificates are renewed days before
/// they expire.
const CERTIFICATE_CHECK_INTERVAL: Duration = Duration::from_secs(30);

/// How long no byte of an asset may arrive before a client that waits for the response head gets 503; the default of
/// `tftp.first_byte_deadline`. Checked at this interval, so that a stall later on is detected within twice the time.
const STALL_TIMEOUT: Duration = Duration::from_secs(30);

/// The HTTP server, bound but not serving yet: new connections wait in the backlog.
pub struct HttpServer {
    settings: HttpSettings,
    plain: Vec<TcpListener>,
    secure: Vec<TcpListener>,
    tls: Option<(TlsAcceptor, Arc<Certificate>)>,
    pub(super) certificate_check_interval: Duration,
    pub(super) stall_timeout: Duration,
    pub(super) memory: Arc<MemoryBudget>,
}

impl HttpServer {
    /// Reads the certificate and binds all listeners; takes over the sockets that were `inherited`.
    pub async fn bind(settings: HttpSettings, inherited: &mut InheritedSockets) -> Result<Self, HttpError> {
        let tls = match &settings.tls {
            Some(tls) => {
                let (cert, key) = (tls.cert.clone(), tls.key.clone());
                let certificate = Arc::new(blocking(move || Certificate::read(&cert, &key)).await?);
                Some((transport::acceptor(&certificate)?, certificate))
            }
            None => None,
        };
        let mut bind = |name, addresses: &[SocketAddr]| -> Result<Vec<TcpListener>, ListenError> {
            let bind = |&address| transport::inherit_or_bind(inherited, name, address, addresses);
            addresses.iter().map(bind).collect()
        };
        let plain = bind(sockets::HTTP, &settings.listen)?;
        let secure = bind(sockets::HTTPS, settings.tls.as_ref().map_or(&[], |tls| &tls.listen))?;
        Ok(Self {
            memory: MemoryBudget::observed(settings.memory),
            settings,
            plain,
            secure,
            tls,
            certificate_check_interval: CERTIFICATE_CHECK_INTERVAL,
            stall_timeout: STALL_TIMEOUT,
        })
    }

    /// Returns the addresses of the plain listeners, with the ports that the system chose.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        addresses(&self.plain)
    }

    /// Returns the addresses of the TLS listeners, with the ports that the system chose.
    pub fn tls_addresses(&self) -> Vec<SocketAddr> {
        addresses(&self.secure)
    }

    /// Serves until `stop`; then accepts no more connections, gives running transfers at most `grace`, and returns when all
    /// connections have ended.
    pub async fn serve(self, boot: Boot, stop: CancellationToken, grace: Duration) {
        let service = Arc::new(Service::new(boot, self.settings.advertise.clone(), self.stall_timeout));
        let limit = ConnectionLimit::new("http-connections", self.settings.max_connections, &self.settings.shares);
        let tasks = TaskTracker::new();
        let (idle_timeout, min_rate) = (self.settings.idle_timeout, self.settings.min_rate);
        let refusals = Arc::new(RefusalLog::new());
        let tls = self.tls.map(|(tls, certificate)| {
            tasks.spawn(certificate.watch(self.certificate_check_interval, stop.clone()));
            tls
        });
        let plain = self.plain.into_iter().map(|listener| (listener, None));
        let secure = self.secure.into_iter().map(|listener| (listener, tls.clone()));
        for (listener, tls) in plain.chain(secure) {
            let config = ListenerConfig {
                handler: Arc::clone(&service),
                tls,
                tasks: tasks.clone(),
                stop: stop.clone(),
                grace,
                limits: ProgressLimits { idle_timeout, min_rate },
                memory: Arc::clone(&self.memory),
                refusals: Arc::clone(&refusals),
            };
            tasks.spawn(transport::accept(listener, Arc::new(config), Arc::clone(&limit)));
        }
        tasks.close();
        tasks.wait().await;
    }
}

fn addresses(listeners: &[TcpListener]) -> Vec<SocketAddr> {
    listeners.iter().filter_map(|listener| listener.local_addr().ok()).collect()
}
