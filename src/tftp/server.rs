//! The TFTP server: binds the ports, assigns them to worker threads, and stops those.

use std::net::SocketAddr;
use std::num::NonZero;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::base_url::BaseUrl;
use super::content::normalize_name;
use super::dispatcher::Dispatcher;
use super::error::TftpError;
use super::messages::{PortHandle, WorkerMessage};
use super::port::{Port, PortRole};
use super::sessions::SessionTable;
use super::settings::TftpSettings;
use super::socket::Socket;
use super::wake_queue::WakeQueue;
use super::worker::{self, Worker};
use crate::boot::Boot;
use crate::sockets::{self, InheritedSockets};
use crate::task;

/// Worker threads for the ports of all listen addresses: one per two cores within these bounds, since the network stack
/// and the rest of the program need cores too. On two cores with the clients on the same machine, one thread instead of
/// two has 1.3 times the throughput (100 clients, window 1) for 0.77 times the CPU time, because each turn finds more to
/// do.
const WORKERS: std::ops::RangeInclusive<usize> = 1..=4;
/// The fewest data ports of a listen address. A peer's next transfer avoids the port of its last one, where packets of
/// that may still arrive.
const MIN_DATA_PORTS: usize = 2;

/// A bound TFTP server.
pub struct TftpServer {
    settings: Arc<TftpSettings>,
    listeners: Vec<Listener>,
    /// The queues of the workers.
    queues: Vec<Arc<WakeQueue<WorkerMessage>>>,
}

/// Checks that every worker of a server still runs.
pub struct LivenessCheck(Vec<Arc<WakeQueue<WorkerMessage>>>);

impl LivenessCheck {
    /// Waits until every worker has completed a turn of its loop. Never returns if a worker hangs, has panicked, or does
    /// not run: workers run while [`TftpServer::serve`] does.
    pub async fn passed(&self) {
        for queue in &self.0 {
            let (sender, answer) = oneshot::channel();
            queue.push(WorkerMessage::LivenessCheck(sender));
            if answer.await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }
}

/// One listen address.
struct Listener {
    request_port: PortHandle,
    /// The data ports; in single-port mode the request port itself.
    data_ports: Vec<PortHandle>,
    /// How many data ports, from the first on, take new transfers in turn.
    primary_ports: usize,
}

/// The slots of a worker while ports are assigned to it.
struct WorkerSlots {
    queue: Arc<WakeQueue<WorkerMessage>>,
    used: usize,
}

impl TftpServer {
    /// Binds every listen address, except those of `inherited` sockets, and the data ports of each.
    pub fn bind(mut settings: TftpSettings, inherited: &mut InheritedSockets) -> Result<Self, TftpError> {
        settings.files = settings.files.into_iter().map(|(name, asset)| (normalize_name(&name), asset)).collect();
        let cores = thread::available_parallelism().map_or(1, NonZero::get);
        let mut workers = (0..(cores / 2).clamp(*WORKERS.start(), *WORKERS.end()))
            .map(|_| Ok(WorkerSlots { queue: Arc::new(WakeQueue::new().map_err(TftpError::Resources)?), used: 0 }))
            .collect::<Result<Vec<_>, _>>()?;
        let listeners = settings
            .listen
            .iter()
            .map(|&address| {
                let socket = match inherited.take_udp(sockets::TFTP, address) {
                    Some(socket) => Socket::inherit(socket),
                    None => Socket::bind(address, &settings.listen, true),
                };
                let socket = socket.map_err(|source| TftpError::Bind { address, source })?;
                Listener::bind(address, socket, settings.single_port, &mut workers)
            })
            .collect::<Result<_, _>>()?;
        let queues = workers.into_iter().map(|worker| worker.queue).collect();
        Ok(Self { settings: Arc::new(settings), listeners, queues })
    }

    /// The bound listen addresses, in the order of the settings.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.listeners.iter().map(|listener| listener.request_port.socket.address()).collect()
    }

    /// A check of the workers, for the service watchdog.
    pub fn liveness_check(&self) -> LivenessCheck {
        LivenessCheck(self.queues.clone())
    }

    /// Serves the assets of `boot`'s depot and its scripts, whose URLs begin with `base_url`.
    ///
    /// When `stop` is cancelled it refuses new requests and returns after the last transfer. After `grace` it ends the
    /// transfers that are left with an ERROR.
    pub async fn serve(
        self,
        boot: Boot,
        base_url: BaseUrl,
        stop: CancellationToken,
        grace: Duration,
    ) -> Result<(), TftpError> {
        let sessions = SessionTable::new(self.settings.max_transfers);
        let mut ports = Vec::new();
        for listener in &self.listeners {
            let dispatcher = Arc::new(Dispatcher {
                settings: Arc::clone(&self.settings),
                boot: boot.clone(),
                base_url: base_url.clone(),
                sessions: Arc::clone(&sessions),
                runtime: Handle::current(),
                stop: stop.clone(),
                socket: Arc::clone(&listener.request_port.socket),
                data_ports: listener.data_ports.clone(),
                primary_ports: listener.primary_ports,
            });
            let mut add = |port: &PortHandle, role| ports.push((port.clone(), role, Arc::clone(&dispatcher)));
            if self.settings.single_port {
                add(&listener.request_port, PortRole { accepts_requests: true, data_index: Some(0) });
            } else {
                add(&listener.request_port, PortRole { accepts_requests: true, data_index: None });
                for (index, port) in listener.data_ports.iter().enumerate() {
                    add(port, PortRole { accepts_requests: false, data_index: Some(index) });
                }
            }
        }
        let mut workers = WorkerThreads::default();
        for queue in &self.queues {
            // They stay in the order in which they were bound, which is the order of their slots.
            let of_worker = ports.extract_if(.., |(port, ..)| Arc::ptr_eq(&port.queue, queue)).collect();
            workers.spawn(Arc::clone(queue), of_worker)?;
        }
        for address in self.addresses() {
            info!(%address, "TFTP listening");
        }
        stop.cancelled().await;
        if tokio::time::timeout(grace, sessions.wait_until_empty()).await.is_err() {
            warn!(grace_seconds = grace.as_secs_f32(), "TFTP transfers cancelled at shutdown");
        }
        sessions.cancel_opens();
        // Joining blocks only until the workers have handled the shutdown message.
        let _ = tokio::task::spawn_blocking(move || drop(workers)).await;
        Ok(())
    }
}

impl Listener {
    /// Binds the data ports of the listen address `address`, whose request port is `socket`, and assigns all of them to
    /// workers.
    fn bind(
        address: SocketAddr,
        socket: Socket,
        single_port: bool,
        workers: &mut [WorkerSlots],
    ) -> Result<Self, TftpError> {
        let primary_ports = workers.len();
        let mut assign = |socket, worker: usize| {
            let worker = &mut workers[worker % primary_ports];
            let slot = worker.used;
            worker.used += 1;
            PortHandle { socket: Arc::new(socket), queue: Arc::clone(&worker.queue), slot }
        };
        let request_port = assign(socket, 0);
        if single_port {
            return Ok(Self { data_ports: vec![request_port.clone()], request_port, primary_ports: 1 });
        }
        // With the interface of a link-local address.
        let mut address = address;
        address.set_port(0);
        let mut data_ports = Vec::new();
        for index in 0..primary_ports.max(MIN_DATA_PORTS) {
            let socket = Socket::bind(address, &[], false).map_err(|source| TftpError::Bind { address, source })?;
            data_ports.push(assign(socket, index));
        }
        Ok(Self { request_port, data_ports, primary_ports })
    }
}

/// The running worker threads. Shuts them down and joins them when dropped.
#[derive(Default)]
struct WorkerThreads(Vec<(Arc<WakeQueue<WorkerMessage>>, JoinHandle<()>)>);

impl WorkerThreads {
    fn spawn(
        &mut self,
        queue: Arc<WakeQueue<WorkerMessage>>,
        ports: Vec<(PortHandle, PortRole, Arc<Dispatcher>)>,
    ) -> Result<(), TftpError> {
        let sockets = ports.iter().map(|(port, ..)| &*port.socket);
        let epoll = worker::create_epoll(&queue, sockets).map_err(TftpError::Resources)?;
        let (worker_queue, runtime) = (Arc::clone(&queue), Handle::current());
        // The ports are created on their thread: their system call buffers hold pointers.
        let work = move || {
            // Streams spawn their blocking reads on the runtime.
            let _entered = runtime.enter();
            let ports = ports.into_iter().map(|(port, role, dispatcher)| Port::new(port, role, dispatcher)).collect();
            Worker::new(worker_queue, ports, epoll).run();
        };
        let thread = thread::Builder::new().name("tftp".into()).spawn(work).map_err(TftpError::Resources)?;
        self.0.push((queue, thread));
        Ok(())
    }
}

impl Drop for WorkerThreads {
    fn drop(&mut self) {
        for (queue, _) in &self.0 {
            queue.push(WorkerMessage::Shutdown);
        }
        for (_, thread) in self.0.drain(..) {
            if let Err(error) = task::join_thread(thread) {
                error!(%error, "TFTP worker failed");
            }
        }
    }
}
