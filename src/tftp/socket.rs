//! A bound UDP socket: one that listens for requests, which has large buffers and reports the destination address of each
//! datagram, or one for a single transfer. It knows no packets but ERROR.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::net::sockopt;
use socket2::{Domain, Protocol, Socket as Raw, Type};
use tracing::warn;

use super::batch::{self, Route, SendBatch};
use super::options::Negotiated;
use super::packet::{self, ErrorCode};
use super::send_buffer;

/// The receive buffer, in bytes. With the default of Linux, 208 KiB, most servers lose requests when 500 machines send
/// theirs in the same instant.
const RECEIVE_BUFFER: usize = 8 << 20;
/// How long the full send buffer of a listener may block a worker. After that the packets are lost.
const SEND_WAIT: Duration = Duration::from_millis(100);

/// A bound socket.
pub(super) struct Socket {
    udp: UdpSocket,
    address: SocketAddr,
    connected: AtomicBool,
}

impl Socket {
    /// Binds `address` for requests. `[::]` accepts IPv4 too, unless `all` (every listen address) holds an IPv4 address with
    /// the same port.
    pub(super) fn listen(address: SocketAddr, all: &[SocketAddr]) -> io::Result<Self> {
        let raw = Raw::new(Domain::for_address(address), Type::DGRAM.cloexec(), Some(Protocol::UDP))?;
        if address.is_ipv6() {
            let same_port_ipv4 = |other: &SocketAddr| other.is_ipv4() && other.port() == address.port();
            raw.set_only_v6(!address.ip().is_unspecified() || all.iter().any(same_port_ipv4))?;
        }
        raw.bind(&address.into())?;
        Self::configure(raw)
    }

    /// Takes over a listener that another process bound.
    pub(super) fn inherit(raw: Raw) -> io::Result<Self> {
        // Each receive call passes MSG_DONTWAIT; a send call blocks up to the write timeout.
        raw.set_nonblocking(false)?;
        Self::configure(raw)
    }

    fn configure(raw: Raw) -> io::Result<Self> {
        raw.set_write_timeout(Some(SEND_WAIT))?;
        let udp = UdpSocket::from(raw);
        let address = udp.local_addr()?;
        let granted = enlarge_buffers(&udp);
        if granted < RECEIVE_BUFFER {
            warn!(
                %address, granted, wanted = RECEIVE_BUFFER,
                "TFTP receive buffer too small for many clients at once; raise the sysctl net.core.rmem_max"
            );
        }
        if address.ip().is_unspecified() {
            batch::enable_packet_info(&udp)?;
        }
        Ok(Self { udp, address, connected: AtomicBool::new(false) })
    }

    /// Binds a port for one transfer along `route`, whose request arrived on this socket. The kernel chooses the port at random:
    /// it is the only secret that a peer proves to know by its answers (RFC 1350 4). Nothing blocks on this socket:
    /// what does not fit its send buffer is lost. The buffer is enlarged for the window of `negotiated`; see
    /// [`Socket::largest_window`].
    ///
    /// Returns the socket, and the route to send along: the socket has its source address.
    pub(super) fn bind_for_transfer(&self, route: &Route, negotiated: &Negotiated) -> io::Result<(Self, Route)> {
        let local = route.source.map_or_else(|| with_port_zero(self.address), |source| source.with_port_zero());
        let (udp, route) = match bind_data_port(local) {
            Ok(udp) => (udp, Route { source: None, ..*route }),
            // An address that this machine answers for but does not have.
            Err(error) if error.kind() == io::ErrorKind::AddrNotAvailable && route.source.is_some() => {
                (bind_data_port(with_port_zero(self.address))?, *route)
            }
            Err(error) => return Err(error),
        };
        batch::enable_error_queue(&udp)?;
        if negotiated.windowsize > 1 {
            // The kernel grants twice as much: the retransmitted window may be queued behind the first.
            let window = usize::from(negotiated.windowsize) * send_buffer::charge(negotiated.blksize);
            send_buffer::enlarge(&udp, window.min(send_buffer::MAX_REQUEST));
        }
        let address = udp.local_addr()?;
        Ok((Self { udp, address, connected: AtomicBool::new(false) }, route))
    }

    /// The largest window of blocks of this size that the send buffer holds.
    pub(super) fn largest_window(&self, blksize: u16) -> u16 {
        send_buffer::largest_window(send_buffer::size(&self.udp), blksize)
    }

    /// Makes the kernel keep the errors that routers and peers report about packets sent from this socket.
    pub(super) fn enable_error_queue(&self) -> io::Result<()> {
        batch::enable_error_queue(&self.udp)
    }

    /// Connects the socket of a transfer to its peer, unless it is connected. If that fails, it stays as it is.
    pub(super) fn connect(&self, peer: SocketAddr) {
        if !self.is_connected() && self.udp.connect(peer).is_ok() {
            self.connected.store(true, Ordering::Relaxed);
        }
    }

    /// Whether the socket is connected to the peer of its transfer.
    pub(super) fn is_connected(&self) -> bool {
        self.connected.load(Ordering::Relaxed)
    }

    /// The bound address.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The socket itself, for batched calls.
    pub(super) fn udp(&self) -> &UdpSocket {
        &self.udp
    }

    /// Sends one ERROR packet at once.
    pub(super) fn send_error(&self, route: &Route, code: ErrorCode, message: &str) {
        let mut out = SendBatch::new();
        let packet = packet::error(code, message);
        out.push_single(route, packet.into());
        // If it is lost, the peer repeats its packet and gets another.
        out.flush(&self.udp, |_, _| {});
    }
}

/// A socket for one transfer, bound to this address, which does not block.
fn bind_data_port(address: SocketAddr) -> io::Result<UdpSocket> {
    let raw = Raw::new(Domain::for_address(address), Type::DGRAM.cloexec().nonblocking(), Some(Protocol::UDP))?;
    if let SocketAddr::V6(address) = address
        && address.ip().to_ipv4_mapped().is_some()
    {
        raw.set_only_v6(false)?;
    }
    raw.bind(&address.into())?;
    Ok(raw.into())
}

/// With the interface of a link-local address.
fn with_port_zero(mut address: SocketAddr) -> SocketAddr {
    address.set_port(0);
    address
}

/// Enlarges the buffers: beyond the system's limit with the capability `CAP_NET_ADMIN`, else up to it. Never shrinks those of an
/// inherited socket, which another process may have enlarged. Returns the receive buffer's size in bytes.
fn enlarge_buffers(udp: &UdpSocket) -> usize {
    // Linux doubles the requested size for its own bookkeeping, and reports the doubled value.
    let receive = || sockopt::socket_recv_buffer_size(udp).unwrap_or_default() / 2;
    if receive() < RECEIVE_BUFFER && sockopt::set_socket_recv_buffer_size_force(udp, RECEIVE_BUFFER).is_err() {
        let _ = sockopt::set_socket_recv_buffer_size(udp, RECEIVE_BUFFER);
    }
    send_buffer::enlarge(udp, send_buffer::MAX_REQUEST);
    receive()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ipv6_wildcard_leaves_listed_ipv4_free() {
        let (six, four): (SocketAddr, SocketAddr) = ("[::]:0".parse().unwrap(), "0.0.0.0:0".parse().unwrap());
        let bind_both = |all: &[SocketAddr]| {
            let socket = Socket::listen(six, all).unwrap();
            UdpSocket::bind((four.ip(), socket.address().port())).map(drop)
        };
        bind_both(&[six, four]).unwrap();
        assert_eq!(bind_both(&[six]).unwrap_err().kind(), io::ErrorKind::AddrInUse);
    }
}
