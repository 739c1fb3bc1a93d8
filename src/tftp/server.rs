//! The server as a whole: binds its ports, gives them to the threads that serve them, and ends those.

use std::io;
use std::net::SocketAddr;
use std::num::NonZero;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::content::Base;
use super::desk::{Desk, asset_name};
use super::mailbox::Mailbox;
use super::port::{Port, Role};
use super::seats::Seats;
use super::settings::TftpSettings;
use super::socket::Socket;
use super::worker::{self, Door, Letter, Worker};
use crate::boot::Boot;
use crate::sockets::{self, Inherited};

/// Threads that serve the ports of all listen addresses: one for every two cores within these bounds, as the network
/// stack and everything else want cores too. On two cores with clients on the same machine, one thread against two is
/// 1.3x the throughput of 100 clients at window 1 for 0.77x the CPU time, since it finds more to do each time it wakes.
const WORKERS: std::ops::RangeInclusive<usize> = 1..=4;
/// The fewest data ports of a listen address: a peer that begins anew is sent to another port than that of its last
/// transfer, of which packets may still be under way.
const FEWEST_PORTS: usize = 2;

/// Why the server cannot run.
#[derive(Debug, thiserror::Error)]
pub enum TftpError {
    /// A listen address cannot be had.
    #[error("cannot take TFTP requests on {address}: {}", remedy(*address, .error))]
    Bind {
        /// The address.
        address: SocketAddr,
        /// The system's words.
        error: io::Error,
    },
    /// A thread or the means to wake it cannot be had.
    #[error("cannot run a TFTP port: {0}; the system is out of threads or file descriptors")]
    Resources(io::Error),
}

/// What to do about an address that cannot be bound.
fn remedy(address: SocketAddr, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            format!("another program has UDP port {}; stop it, or set another [tftp] listen", address.port())
        }
        io::ErrorKind::PermissionDenied => format!(
            "{error}; ports below 1024 need the capability CAP_NET_BIND_SERVICE (systemd: AmbientCapabilities=), or set \
             another [tftp] listen"
        ),
        io::ErrorKind::AddrNotAvailable => format!("this machine has no address {}", address.ip()),
        _ => error.to_string(),
    }
}

/// A bound TFTP server.
pub struct TftpServer {
    settings: Arc<TftpSettings>,
    listeners: Vec<Listener>,
    /// Of the workers.
    mailboxes: Vec<Arc<Mailbox<Letter>>>,
}

/// Feels whether every worker of a server still turns.
pub struct Pulse(Vec<Arc<Mailbox<Letter>>>);

impl Pulse {
    /// Returns when each worker has come to the end of its turn; one that hangs or has panicked never does. The workers
    /// are there from [`TftpServer::serve`] to its end.
    pub async fn beat(&self) {
        for mailbox in &self.0 {
            let (sender, answered) = oneshot::channel();
            mailbox.post(Letter::Pulse(sender));
            if answered.await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }
}

/// One listen address.
struct Listener {
    requests: Door,
    /// The data ports; in single-port mode the request port itself.
    data: Vec<Door>,
    /// How many data ports, from the first on, transfers are spread over.
    spread: usize,
}

/// A worker to be.
struct Slots {
    mailbox: Arc<Mailbox<Letter>>,
    taken: usize,
}

impl TftpServer {
    /// Binds every listen address, those aside whose sockets are `inherited`, and the data ports of each.
    pub fn bind(mut settings: TftpSettings, inherited: &mut Inherited) -> Result<Self, TftpError> {
        settings.files = settings.files.into_iter().map(|(name, asset)| (asset_name(&name), asset)).collect();
        let cores = thread::available_parallelism().map_or(1, NonZero::get);
        let mut workers = (0..(cores / 2).clamp(*WORKERS.start(), *WORKERS.end()))
            .map(|_| Ok(Slots { mailbox: Arc::new(Mailbox::new().map_err(TftpError::Resources)?), taken: 0 }))
            .collect::<Result<Vec<_>, _>>()?;
        let listeners = settings
            .listen
            .iter()
            .map(|&address| {
                let requests = match inherited.take_udp(sockets::TFTP, address) {
                    Some(socket) => Socket::inherit(socket),
                    None => Socket::bind(address, &settings.listen, true),
                };
                let requests = requests.map_err(|error| TftpError::Bind { address, error })?;
                Listener::bind(address, requests, settings.single_port, &mut workers)
            })
            .collect::<Result<_, _>>()?;
        let mailboxes = workers.into_iter().map(|worker| worker.mailbox).collect();
        Ok(Self { settings: Arc::new(settings), listeners, mailboxes })
    }

    /// The addresses that requests are taken on, in the settings' order.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.listeners.iter().map(|listener| listener.requests.socket.address()).collect()
    }

    /// Whether its workers are alive, for whoever watches over them.
    pub fn pulse(&self) -> Pulse {
        Pulse(self.mailboxes.clone())
    }

    /// Serves `boot`'s scripts and its depot's assets until `stop`; then takes no more requests, and ends when the last
    /// transfer has, or when `grace` is over and those that still run were told so. `base` is what scripts' URLs begin with.
    pub async fn serve(
        self,
        boot: Boot,
        base: Base,
        stop: CancellationToken,
        grace: Duration,
    ) -> Result<(), TftpError> {
        let seats = Seats::new(self.settings.max_transfers);
        let mut ports = Vec::new();
        for listener in &self.listeners {
            let desk = Arc::new(Desk {
                settings: Arc::clone(&self.settings),
                boot: boot.clone(),
                base: base.clone(),
                seats: Arc::clone(&seats),
                runtime: Handle::current(),
                stop: stop.clone(),
                socket: Arc::clone(&listener.requests.socket),
                doors: listener.data.clone(),
                spread: listener.spread,
            });
            let mut port = |door: &Door, role| ports.push((door.clone(), role, Arc::clone(&desk)));
            if self.settings.single_port {
                port(&listener.requests, Role { requests: true, data: Some(0) });
            } else {
                port(&listener.requests, Role { requests: true, data: None });
                for (index, door) in listener.data.iter().enumerate() {
                    port(door, Role { requests: false, data: Some(index) });
                }
            }
        }
        let mut workers = Workers::default();
        for mailbox in &self.mailboxes {
            // In the order in which they were bound, which is that of their slots.
            let of_worker = ports.extract_if(.., |(door, ..)| Arc::ptr_eq(&door.mailbox, mailbox)).collect();
            workers.spawn(Arc::clone(mailbox), of_worker)?;
        }
        for address in self.addresses() {
            info!(%address, "taking TFTP requests");
        }
        stop.cancelled().await;
        if tokio::time::timeout(grace, seats.emptied()).await.is_err() {
            warn!(grace = grace.as_secs_f32(), "TFTP transfers that still run are broken off");
        }
        seats.close();
        // Joining blocks, but for no longer than the workers need to hear of it.
        let _ = tokio::task::spawn_blocking(move || drop(workers)).await;
        Ok(())
    }
}

impl Listener {
    /// The listener that hears `requests` on `address`, with its data ports.
    fn bind(
        address: SocketAddr,
        requests: Socket,
        single_port: bool,
        workers: &mut [Slots],
    ) -> Result<Self, TftpError> {
        let spread = workers.len();
        let mut door = |socket, worker: usize| {
            let worker = &mut workers[worker % spread];
            let slot = worker.taken;
            worker.taken += 1;
            Door { socket: Arc::new(socket), mailbox: Arc::clone(&worker.mailbox), slot }
        };
        let requests = door(requests, 0);
        if single_port {
            return Ok(Self { data: vec![requests.clone()], requests, spread: 1 });
        }
        let address = SocketAddr::new(address.ip(), 0);
        let mut data = Vec::new();
        for index in 0..spread.max(FEWEST_PORTS) {
            let socket = Socket::bind(address, &[], false).map_err(|error| TftpError::Bind { address, error })?;
            data.push(door(socket, index));
        }
        Ok(Self { requests, data, spread })
    }
}

/// The running workers: told to quit and waited for when dropped.
#[derive(Default)]
struct Workers(Vec<(Arc<Mailbox<Letter>>, JoinHandle<()>)>);

impl Workers {
    fn spawn(&mut self, mailbox: Arc<Mailbox<Letter>>, ports: Vec<(Door, Role, Arc<Desk>)>) -> Result<(), TftpError> {
        let sockets = ports.iter().map(|(door, ..)| &*door.socket);
        let watch = worker::watch(&mailbox, sockets).map_err(TftpError::Resources)?;
        let (its, runtime) = (Arc::clone(&mailbox), Handle::current());
        // The ports are made where they run: their system call buffers hold pointers.
        let work = move || {
            // Streams spawn their blocking reads on the runtime.
            let _entered = runtime.enter();
            let ports = ports.into_iter().map(|(door, role, desk)| Port::new(door, role, desk)).collect();
            Worker::new(its, ports, watch).run();
        };
        let thread = thread::Builder::new().name("tftp".into()).spawn(work).map_err(TftpError::Resources)?;
        self.0.push((mailbox, thread));
        Ok(())
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        for (mailbox, _) in &self.0 {
            mailbox.post(Letter::Quit);
        }
        for (_, thread) in self.0.drain(..) {
            if thread.join().is_err() {
                warn!("a TFTP worker ended in a panic");
            }
        }
    }
}
