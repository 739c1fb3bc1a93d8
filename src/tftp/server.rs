//! The TFTP server: binds the listeners, assigns them to worker threads, and stops those.

use std::net::SocketAddr;
use std::num::NonZero;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::process::{Resource, getrlimit};
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::answer_limit::AnswerLimit;
use super::base_url::BaseUrl;
use super::content::normalize_name;
use super::dispatcher::Dispatcher;
use super::error::TftpError;
use super::error_five::ErrorFive;
use super::half_open::MAX_HALF_OPEN;
use super::listen_address::ListenAddress;
use super::listener::Listener;
use super::messages::{WorkerMessage, WorkerQueue};
use super::record::Recorder;
use super::sessions::{SessionLimits, SessionTable};
use super::settings::TftpSettings;
use super::socket::Socket;
use super::transfers::Transfers;
use super::wake_queue::WakeQueue;
use super::worker::{self, Worker};
use crate::boot::Boot;
use crate::sockets::{self, InheritedSockets};
use crate::task;

/// Worker threads for all listen addresses: one per two cores within these bounds, since the network stack and the rest of the
/// program need cores too. On two cores with the clients on the same machine, one thread instead of two has 1.3 times the
/// throughput (100 clients, window 1) for 0.77 times the CPU time, because each turn finds more to do.
const WORKERS: std::ops::RangeInclusive<usize> = 1..=4;
/// The part of the limit on open files that the sockets of transfers may take.
const FILES_SHARE: u64 = 4;

/// A bound TFTP server.
pub struct TftpServer {
    settings: Arc<TftpSettings>,
    /// The sockets of the listen addresses, in the order of the settings.
    listeners: Vec<Arc<Socket>>,
    /// The queues of the workers.
    queues: Arc<[Arc<WorkerQueue>]>,
}

/// Checks that every worker of a server still runs.
pub struct LivenessCheck(Arc<[Arc<WorkerQueue>]>);

impl LivenessCheck {
    /// Waits until every worker has completed a turn of its loop. Never returns if a worker hangs, has panicked, or does
    /// not run: workers run while [`TftpServer::serve`] does.
    pub async fn passed(&self) {
        for queue in &*self.0 {
            let (sender, answer) = oneshot::channel();
            queue.push(WorkerMessage::LivenessCheck(sender));
            if answer.await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }
}

impl TftpServer {
    /// Binds every listen address, except those of `inherited` sockets.
    pub fn bind(settings: TftpSettings, inherited: &mut InheritedSockets) -> Result<Self, TftpError> {
        let cores = thread::available_parallelism().map_or(1, NonZero::get);
        Self::bind_for_workers((cores / 2).clamp(*WORKERS.start(), *WORKERS.end()), settings, inherited)
    }

    /// Like [`TftpServer::bind`], for so many workers.
    pub(super) fn bind_for_workers(
        workers: usize,
        mut settings: TftpSettings,
        inherited: &mut InheritedSockets,
    ) -> Result<Self, TftpError> {
        settings.files = settings.files.into_iter().map(|(name, asset)| (normalize_name(&name), asset)).collect();
        let queues = (0..workers)
            .map(|_| WakeQueue::new().map(Arc::new).map_err(TftpError::Resources))
            .collect::<Result<_, _>>()?;
        let listeners = settings
            .listen
            .iter()
            .map(|&address| {
                let socket = match inherited.take_udp(sockets::TFTP, address) {
                    Some(socket) => Socket::inherit(socket),
                    None => Socket::listen(address, &settings.listen),
                };
                let socket = socket.and_then(|socket| {
                    // Its transfers send from it.
                    if settings.single_port { socket.enable_error_queue().map(|()| socket) } else { Ok(socket) }
                });
                socket.map(Arc::new).map_err(|source| TftpError::Bind { address, source })
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { settings: Arc::new(settings), listeners, queues })
    }

    /// The bound listen addresses, in the order of the settings.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.listeners.iter().map(|socket| socket.address()).collect()
    }

    /// A check of the workers, for the service watchdog.
    pub fn liveness_check(&self) -> LivenessCheck {
        LivenessCheck(Arc::clone(&self.queues))
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
        let sessions = SessionTable::new(session_limits(&self.settings));
        let (recorder, answers) = (Recorder::new(boot.depot().clone()), Arc::new(AnswerLimit::new()));
        let error_five = ErrorFive::new(Arc::clone(&answers));
        let dispatchers: Arc<[_]> = (0..)
            .zip(&self.listeners)
            .map(|(listener, socket)| {
                Arc::new(Dispatcher {
                    listen_address: Arc::new(ListenAddress {
                        settings: Arc::clone(&self.settings),
                        boot: boot.clone(),
                        answers: Arc::clone(&answers),
                        socket: Arc::clone(socket),
                        listener,
                        workers: Arc::clone(&self.queues),
                    }),
                    base_url: base_url.clone(),
                    sessions: Arc::clone(&sessions),
                    recorder: Arc::clone(&recorder),
                    error_five: Arc::clone(&error_five),
                    runtime: Handle::current(),
                    stop: stop.clone(),
                })
            })
            .collect();
        let mut workers = WorkerThreads::default();
        for (index, queue) in self.queues.iter().enumerate() {
            let of_worker = dispatchers.iter().skip(index).step_by(self.queues.len());
            let listeners = of_worker.map(|dispatcher| Listener {
                socket: Arc::clone(&dispatcher.listen_address.socket),
                dispatcher: Arc::clone(dispatcher),
            });
            let (queues, answers, error_five) =
                (Arc::clone(&self.queues), Arc::clone(&answers), Arc::clone(&error_five));
            let transfers = move || Transfers::new(queues, answers, error_five);
            workers.spawn(queue, listeners.collect(), &dispatchers, transfers)?;
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

/// The numbers of sessions, as far as the limit on open files allows.
fn session_limits(settings: &TftpSettings) -> SessionLimits {
    let mut limits =
        SessionLimits { half_open: MAX_HALF_OPEN, transfers: settings.max_transfers, shares: settings.shares.clone() };
    let allowed = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX) / FILES_SHARE;
    let allowed = usize::try_from(allowed).unwrap_or(usize::MAX);
    if !settings.single_port {
        let wanted = limits.transfers;
        limits.half_open = limits.half_open.min(allowed / 2).max(1);
        limits.transfers = wanted.min(allowed - allowed / 2).max(1);
        if limits.transfers < wanted {
            let (message, allowed) = ("tftp.max_transfers reduced to the limit of open files", limits.transfers);
            // More than half of them is enough for the racks of most sites.
            if allowed < wanted / 2 {
                warn!(max_transfers = wanted, allowed, "{message}");
            } else {
                info!(max_transfers = wanted, allowed, "{message}");
            }
        }
    }
    limits
}

/// The running worker threads. Shuts them down and joins them when dropped.
#[derive(Default)]
struct WorkerThreads(Vec<(Arc<WorkerQueue>, JoinHandle<()>)>);

impl WorkerThreads {
    fn spawn(
        &mut self,
        queue: &Arc<WorkerQueue>,
        listeners: Vec<Listener>,
        dispatchers: &Arc<[Arc<Dispatcher>]>,
        transfers: impl FnOnce() -> Transfers + Send + 'static,
    ) -> Result<(), TftpError> {
        let sockets = listeners.iter().map(|listener| &*listener.socket);
        let epoll = worker::create_epoll(queue, sockets).map_err(TftpError::Resources)?;
        let (worker_queue, dispatchers, runtime) = (Arc::clone(queue), Arc::clone(dispatchers), Handle::current());
        // The worker is created on its thread: its system call buffers hold pointers.
        let work = move || {
            // Streams spawn their blocking reads on the runtime.
            let _entered = runtime.enter();
            Worker::new(worker_queue, listeners, dispatchers, transfers(), epoll).run();
        };
        let thread = thread::Builder::new().name("tftp".into()).spawn(work).map_err(TftpError::Resources)?;
        self.0.push((Arc::clone(queue), thread));
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
