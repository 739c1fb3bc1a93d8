//! Listening sockets: bound with what a boot server wants of them, and accepting without ever giving up.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, TcpKeepalive, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;
use tracing::warn;

use super::HttpError;
use crate::sockets::Inherited;

/// Connections that the kernel completes ahead of us: a rack that powers on at once, and what it asks while the cache is
/// still being read. The kernel caps it at `net.core.somaxconn` (4096 by default).
const BACKLOG: i32 = 4096;

/// When the kernel begins to ask a silent peer whether it is still there, and how often: a machine that lost power in
/// the middle of a cold fill, when nothing is being written, is noticed within two minutes.
const KEEPALIVE: TcpKeepalive =
    TcpKeepalive::new().with_time(Duration::from_mins(1)).with_interval(Duration::from_secs(10)).with_retries(6);

/// How long to wait after the system ran out of descriptors or memory before accepting again.
const BACK_OFF: Duration = Duration::from_millis(50);

/// How often such a failure is logged at most.
const LOG_EVERY: Duration = Duration::from_secs(10);

/// Listens on `address` as the listener called `name`, by the socket of that address where one was inherited.
pub(crate) fn inherit_or_bind(
    inherited: &mut Inherited,
    name: &str,
    address: SocketAddr,
    beside: &[SocketAddr],
) -> Result<TcpListener, HttpError> {
    match inherited.take_tcp(name, address) {
        Some(socket) => accepting(socket).map_err(|error| HttpError::listen(address, error)),
        None => bind(address, beside),
    }
}

/// Listens on `address`. An unspecified IPv6 address takes IPv4 clients too, unless `beside` (the other addresses of the
/// same settings) has the IPv4 one of the same port.
fn bind(address: SocketAddr, beside: &[SocketAddr]) -> Result<TcpListener, HttpError> {
    listen(address, beside).map_err(|error| HttpError::listen(address, error))
}

fn listen(address: SocketAddr, beside: &[SocketAddr]) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        let ipv4_beside = |other: &SocketAddr| other.is_ipv4() && other.port() == address.port();
        socket.set_only_v6(beside.iter().any(ipv4_beside))?;
    }
    // A restart must not wait for the connections of the process before to leave TIME_WAIT.
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    accepting(socket)
}

/// Lets a bound socket accept; one that does already keeps who waits in its backlog.
fn accepting(socket: Socket) -> io::Result<TcpListener> {
    // Accepted sockets inherit it.
    socket.set_tcp_keepalive(&KEEPALIVE)?;
    socket.set_nonblocking(true)?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// Accepts connections, waiting where the system cannot give more at the moment.
pub(super) struct Acceptor {
    listener: TcpListener,
    logged: Option<Instant>,
}

impl Acceptor {
    pub(super) fn new(listener: TcpListener) -> Self {
        Self { listener, logged: None }
    }

    /// The next connection. Cancel-safe.
    pub(super) async fn accept(&mut self) -> (TcpStream, SocketAddr) {
        loop {
            match self.listener.accept().await {
                Ok(accepted) => return accepted,
                // The peer left before we came to it.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) => {
                    let now = Instant::now();
                    if self.logged.is_none_or(|at| now - at >= LOG_EVERY) {
                        self.logged = Some(now);
                        warn!(%error, "cannot accept HTTP connections at the moment; trying on");
                    }
                    tokio::time::sleep(BACK_OFF).await;
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
    async fn says_who_is_in_the_way() {
        let first = bind(LOOPBACK.parse().unwrap(), &[]).unwrap();
        let address = first.local_addr().unwrap();
        let error = bind(address, &[]).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("{address} is in use already; stop what listens there, or choose another address")
        );
        // TEST-NET-1 (RFC 5737) is on no interface.
        let error = bind("192.0.2.1:8080".parse().unwrap(), &[]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "no interface of this machine has the address of 192.0.2.1:8080; it may not be up yet"
        );
    }

    #[test]
    fn says_what_is_needed() {
        let address = "[::]:80".parse().unwrap();
        let error = |raw| HttpError::listen(address, io::Error::from_raw_os_error(raw)).to_string();
        assert_eq!(
            error(libc::EACCES),
            "no permission to listen on [::]:80; ports below 1024 need the capability CAP_NET_BIND_SERVICE, or choose a higher one"
        );
        assert_eq!(
            error(libc::EAFNOSUPPORT),
            "this machine has no IPv6, which [::]:80 needs; listen on 0.0.0.0:80 instead"
        );
        assert_eq!(error(libc::ENOBUFS), "cannot listen on [::]:80: No buffer space available (os error 105)");
    }

    #[tokio::test]
    async fn accepted_sockets_are_kept_alive() {
        let mut acceptor = Acceptor::new(bind(LOOPBACK.parse().unwrap(), &[]).unwrap());
        let address = acceptor.listener.local_addr().unwrap();
        let (client, (stream, peer)) = tokio::join!(TcpStream::connect(address), acceptor.accept());
        assert_eq!(client.unwrap().local_addr().unwrap(), peer);
        assert!(socket2::SockRef::from(&stream).keepalive().unwrap());
    }
}
