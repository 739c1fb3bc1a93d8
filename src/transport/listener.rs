//! Listening TCP sockets: binds them with the options a boot server needs, and accepts without ever giving up.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, TcpKeepalive, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;
use tracing::warn;

use super::error::ListenError;
use crate::sockets::InheritedSockets;

/// Connections that the kernel completes before we accept them: a rack that powers on at once, or clients that connect
/// while the cache is still being read. The kernel caps it at `net.core.somaxconn` (4096 by default).
const BACKLOG: i32 = 4096;

/// Keepalive probes: start after one minute without traffic, then every 10 seconds. A machine that lost power during a cold
/// fill, while nothing is being written to it, is detected within two minutes.
const KEEPALIVE: TcpKeepalive =
    TcpKeepalive::new().with_time(Duration::from_mins(1)).with_interval(Duration::from_secs(10)).with_retries(6);

/// How long to wait before accepting again after the system ran out of descriptors or memory.
const ACCEPT_RETRY_DELAY: Duration = Duration::from_millis(50);

/// The shortest time between two log lines about failed accepts.
const LOG_INTERVAL: Duration = Duration::from_secs(10);

/// Listens on `address` for the listener called `name`; takes over the inherited socket of that address if there is one.
/// `beside` holds all addresses of the same setting.
pub(crate) fn inherit_or_bind(
    inherited: &mut InheritedSockets,
    name: &str,
    address: SocketAddr,
    beside: &[SocketAddr],
) -> Result<TcpListener, ListenError> {
    match inherited.take_tcp(name, address) {
        Some(socket) => accepting(socket).map_err(|error| ListenError::new(address, error)),
        None => bind(address, beside),
    }
}

/// Listens on `address`. An unspecified IPv6 address accepts IPv4 clients too, unless `beside` (all addresses of the same
/// setting) has an IPv4 address with the same port.
fn bind(address: SocketAddr, beside: &[SocketAddr]) -> Result<TcpListener, ListenError> {
    listen(address, beside).map_err(|error| ListenError::new(address, error))
}

fn listen(address: SocketAddr, beside: &[SocketAddr]) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        let ipv4_beside = |other: &SocketAddr| other.is_ipv4() && other.port() == address.port();
        socket.set_only_v6(beside.iter().any(ipv4_beside))?;
    }
    // A restart must not wait until the connections of the previous process leave TIME_WAIT.
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    accepting(socket)
}

/// Starts listening on a bound socket. A socket that listens already keeps the connections in its backlog.
fn accepting(socket: Socket) -> io::Result<TcpListener> {
    // Accepted sockets inherit the keepalive options.
    socket.set_tcp_keepalive(&KEEPALIVE)?;
    socket.set_nonblocking(true)?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// Accepts connections; waits and retries while the system is out of descriptors or memory.
pub(super) struct Acceptor {
    listener: TcpListener,
    last_logged: Option<Instant>,
}

impl Acceptor {
    pub(super) fn new(listener: TcpListener) -> Self {
        Self { listener, last_logged: None }
    }

    /// Returns the next connection. Cancel-safe.
    pub(super) async fn accept(&mut self) -> (TcpStream, SocketAddr) {
        loop {
            match self.listener.accept().await {
                Ok(accepted) => return accepted,
                // The client closed the connection while it was in the backlog.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) => {
                    let now = Instant::now();
                    if self.last_logged.is_none_or(|at| now - at >= LOG_INTERVAL) {
                        self.last_logged = Some(now);
                        warn!(%error, "accept failed");
                    }
                    tokio::time::sleep(ACCEPT_RETRY_DELAY).await;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOOPBACK: &str = "127.0.0.1:0";

    #[tokio::test]
    async fn bind_failure_names_the_remedy() {
        let first = bind(LOOPBACK.parse().unwrap(), &[]).unwrap();
        let address = first.local_addr().unwrap();
        let error = bind(address, &[]).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("{address} is already in use; stop the process that listens there, or choose another address")
        );
        // TEST-NET-1 (RFC 5737) is on no interface.
        let error = bind("192.0.2.1:8080".parse().unwrap(), &[]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "cannot listen on 192.0.2.1:8080: no interface of this machine has this address; the interface may not be up yet"
        );
    }

    #[test]
    fn listen_error_names_missing_privilege() {
        let address = "[::]:80".parse().unwrap();
        let error = |raw| {
            let error = ListenError::new(address, io::Error::from_raw_os_error(raw));
            format!("{:#}", anyhow::Error::from(error))
        };
        assert_eq!(
            error(libc::EACCES),
            "no permission to listen on [::]:80; ports below 1024 need the capability CAP_NET_BIND_SERVICE, or choose a higher port"
        );
        assert_eq!(
            error(libc::EAFNOSUPPORT),
            "this machine has no IPv6, which [::]:80 needs; listen on 0.0.0.0:80 instead"
        );
        assert_eq!(error(libc::ENOBUFS), "cannot listen on [::]:80: No buffer space available (os error 105)");
    }

    #[tokio::test]
    async fn accepted_socket_has_keepalive() {
        let mut acceptor = Acceptor::new(bind(LOOPBACK.parse().unwrap(), &[]).unwrap());
        let address = acceptor.listener.local_addr().unwrap();
        let (client, (stream, peer)) = tokio::join!(TcpStream::connect(address), acceptor.accept());
        assert_eq!(client.unwrap().local_addr().unwrap(), peer);
        assert!(socket2::SockRef::from(&stream).keepalive().unwrap());
    }
}
