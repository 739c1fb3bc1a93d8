//! The server as a whole: binds its ports, runs a loop for each, and ends them.

use std::io;
use std::net::SocketAddr;
use std::num::NonZero;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::content::Base;
use super::desk::{Desk, Door, asset_name};
use super::mailbox::Mailbox;
use super::port::{Port, Post, Role};
use super::seats::Seats;
use super::settings::TftpSettings;
use super::socket::Socket;
use crate::boot::Boot;

/// Data ports of one listen address, each with a thread of its own: one for each core within these bounds. Two, so that
/// a peer that begins anew is not mistaken for its last transfer. More ports than cores make smaller batches: on two
/// cores with 500 clients at window 1, four ports take a third more CPU time than two.
const DATA_PORTS: std::ops::RangeInclusive<usize> = 2..=4;

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
}

/// One listen address.
struct Listener {
    requests: Door,
    /// The data ports; in single-port mode the request port itself.
    data: Vec<Door>,
}

impl TftpServer {
    /// Binds every listen address and its data ports.
    pub fn bind(mut settings: TftpSettings) -> Result<Self, TftpError> {
        settings.files = settings.files.into_iter().map(|(name, asset)| (asset_name(&name), asset)).collect();
        let listeners = settings
            .listen
            .iter()
            .map(|address| Listener::bind(*address, &settings.listen, settings.single_port))
            .collect::<Result<_, _>>()?;
        Ok(Self { settings: Arc::new(settings), listeners })
    }

    /// The addresses that requests are taken on, in the settings' order.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.listeners.iter().map(|listener| listener.requests.socket.address()).collect()
    }

    /// Serves `boot`'s scripts and its depot's assets until `stop`; then takes no more requests, and ends when the last transfer has, or when
    /// `grace` is over and those that still run were told so.
    pub async fn serve(
        self,
        boot: Boot,
        base: Base,
        stop: CancellationToken,
        grace: Duration,
    ) -> Result<(), TftpError> {
        let seats = Seats::new(self.settings.max_transfers);
        let mut loops = Loops::default();
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
            });
            if self.settings.single_port {
                loops.spawn(&listener.requests, Role { requests: true, data: Some(0) }, &desk)?;
            } else {
                loops.spawn(&listener.requests, Role { requests: true, data: None }, &desk)?;
                for (index, door) in listener.data.iter().enumerate() {
                    loops.spawn(door, Role { requests: false, data: Some(index) }, &desk)?;
                }
            }
            info!(address = %listener.requests.socket.address(), "taking TFTP requests");
        }
        stop.cancelled().await;
        if tokio::time::timeout(grace, seats.emptied()).await.is_err() {
            warn!(grace = grace.as_secs_f32(), "TFTP transfers that still run are broken off");
        }
        seats.close();
        // Joining blocks, but for no longer than the loops need to hear of it.
        let _ = tokio::task::spawn_blocking(move || drop(loops)).await;
        Ok(())
    }
}

impl Listener {
    fn bind(address: SocketAddr, beside: &[SocketAddr], single_port: bool) -> Result<Self, TftpError> {
        let door = |address, beside: &[SocketAddr], listener| {
            let socket = Socket::bind(address, beside, listener).map_err(|error| TftpError::Bind { address, error })?;
            let mailbox = Mailbox::new().map_err(TftpError::Resources)?;
            Ok(Door { socket: Arc::new(socket), mailbox: Arc::new(mailbox) })
        };
        let requests = door(address, beside, true)?;
        let data = if single_port {
            vec![requests.clone()]
        } else {
            let any_port = SocketAddr::new(address.ip(), 0);
            let cores = thread::available_parallelism().map_or(1, NonZero::get);
            (0..cores.clamp(*DATA_PORTS.start(), *DATA_PORTS.end()))
                .map(|_| door(any_port, &[], false))
                .collect::<Result<_, _>>()?
        };
        Ok(Self { requests, data })
    }
}

/// The running loops: told to quit and waited for when dropped.
#[derive(Default)]
struct Loops(Vec<(Door, JoinHandle<()>)>);

impl Loops {
    fn spawn(&mut self, door: &Door, role: Role, desk: &Arc<Desk>) -> Result<(), TftpError> {
        let (its_door, desk) = (door.clone(), Arc::clone(desk));
        // The loop is made where it runs: its system call buffers hold pointers.
        let thread = thread::Builder::new().name("tftp".into()).spawn(move || Port::new(its_door, role, desk).run());
        self.0.push((door.clone(), thread.map_err(TftpError::Resources)?));
        Ok(())
    }
}

impl Drop for Loops {
    fn drop(&mut self) {
        for (door, _) in &self.0 {
            door.mailbox.post(Post::Quit);
        }
        for (_, thread) in self.0.drain(..) {
            if thread.join().is_err() {
                warn!("a TFTP port's loop ended in a panic");
            }
        }
    }
}
