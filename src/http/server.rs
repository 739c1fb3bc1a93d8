//! The HTTP server: its listeners, how many connections they take, and how they stop.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::certificate::Certificate;
use super::client::Client;
use super::connection::{Conduct, Handler};
use super::listener::{self, Acceptor};
use super::site::Site;
use super::socket::linger;
use super::{HttpError, HttpSettings, tls};
use crate::boot::Boot;
use crate::sockets::{self, Inherited};

/// What a connection too many is told. iPXE waits and tries again where there is a `Retry-After`.
const BUSY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\n\
    Content-Type: text/plain; charset=utf-8\r\n\
    Content-Length: 46\r\n\
    Retry-After: 5\r\n\
    Connection: close\r\n\
    \r\n\
    the server has too many connections; try again";

/// Connections that are told so at a time; further ones are closed without a word.
const MAX_REFUSALS: usize = 64;

/// How often the certificate's files are looked at: two calls of the system, and those who renew certificates leave days.
const RENEWAL: Duration = Duration::from_secs(30);

/// For how long nothing may arrive of an asset before its client is told to come back; as `tftp.first_byte_deadline` by
/// default. Looked at this often, so that a stream that dries up later is told within twice the time.
const FIRST_BYTE: Duration = Duration::from_secs(30);

/// The HTTP server, bound and not yet serving: who connects waits in the backlog.
pub struct HttpServer {
    settings: HttpSettings,
    plain: Vec<TcpListener>,
    secure: Vec<TcpListener>,
    tls: Option<(TlsAcceptor, Arc<Certificate>)>,
    /// How often the certificate's files are looked at.
    pub(super) renewal: Duration,
    /// For how long nothing may arrive of an asset before its client is told to come back.
    pub(super) first_byte: Duration,
}

impl HttpServer {
    /// Reads the certificate and binds all listeners, those aside whose sockets are `inherited`.
    pub async fn bind(settings: HttpSettings, inherited: &mut Inherited) -> Result<Self, HttpError> {
        let tls_settings = settings.tls.clone();
        let tls = match tls_settings {
            Some(tls_settings) => {
                let read = tokio::task::spawn_blocking(move || Certificate::read(&tls_settings)).await;
                // It is neither aborted nor does it panic.
                let read = read.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))?;
                let certificate = Arc::new(read);
                Some((tls::acceptor(&certificate)?, certificate))
            }
            None => None,
        };
        let mut bind = |name, addresses: &[SocketAddr]| -> Result<Vec<TcpListener>, HttpError> {
            let bind = |&address| listener::inherit_or_bind(inherited, name, address, addresses);
            addresses.iter().map(bind).collect()
        };
        let plain = bind(sockets::HTTP, &settings.listen)?;
        let secure = bind(sockets::HTTPS, settings.tls.as_ref().map_or(&[], |tls| &tls.listen))?;
        Ok(Self { settings, plain, secure, tls, renewal: RENEWAL, first_byte: FIRST_BYTE })
    }

    /// The addresses of the plain listeners, with the ports that the system chose.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        addresses(&self.plain)
    }

    /// The addresses of the TLS listeners, with the ports that the system chose.
    pub fn tls_addresses(&self) -> Vec<SocketAddr> {
        addresses(&self.secure)
    }

    /// Serves until `stop`; then takes no more connections, lets running transfers go on for at most `grace`, and returns
    /// when all have ended.
    pub async fn serve(self, boot: Boot, stop: CancellationToken, grace: Duration) {
        let site = Arc::new(Site::new(boot, self.settings.advertise.clone(), self.first_byte));
        let limit = Arc::new(Semaphore::new(self.settings.max_connections.min(Semaphore::MAX_PERMITS)));
        let tasks = TaskTracker::new();
        let patience = self.settings.idle_timeout;
        let tls = self.tls.map(|(tls, certificate)| {
            tasks.spawn(certificate.watch(self.renewal, stop.clone()));
            tls
        });
        let plain = self.plain.into_iter().map(|listener| (listener, None));
        let secure = self.secure.into_iter().map(|listener| (listener, tls.clone()));
        for (listener, tls) in plain.chain(secure) {
            let conduct =
                Conduct { handler: Arc::clone(&site), tls, tasks: tasks.clone(), stop: stop.clone(), grace, patience };
            tasks.spawn(accept(listener, Arc::new(conduct), Arc::clone(&limit)));
        }
        tasks.close();
        tasks.wait().await;
    }
}

fn addresses(listeners: &[TcpListener]) -> Vec<SocketAddr> {
    listeners.iter().filter_map(|listener| listener.local_addr().ok()).collect()
}

/// Accepts connections until the end, each a task of its own, as many at a time as `limit` has permits.
pub(crate) async fn accept<H: Handler>(listener: TcpListener, conduct: Arc<Conduct<H>>, limit: Arc<Semaphore>) {
    let mut acceptor = Acceptor::new(listener);
    let refusals = Arc::new(Semaphore::new(MAX_REFUSALS));
    let secure = conduct.tls.is_some();
    while let Some((stream, peer)) = conduct.stop.run_until_cancelled(acceptor.accept()).await {
        if let Ok(permit) = Arc::clone(&limit).try_acquire_owned() {
            let conduct = Arc::clone(&conduct);
            // A connection that was reset already has no address, and asks nothing.
            let Ok(local) = stream.local_addr() else { continue };
            let client = Client::new(peer, local, secure, conduct.patience);
            conduct.tasks.clone().spawn(async move {
                conduct.serve(stream, client).await;
                drop(permit);
            });
        } else if conduct.tls.is_none()
            && let Ok(permit) = Arc::clone(&refusals).try_acquire_owned()
        {
            conduct.tasks.spawn(async move {
                refuse(stream).await;
                drop(permit);
            });
        }
    }
}

/// Tells a connection that it is one too many.
async fn refuse(stream: TcpStream) {
    // A new socket has room for it. Failures are the client's own business.
    let _ = stream.writable().await;
    let _ = stream.try_write(BUSY);
    linger(stream).await;
}
