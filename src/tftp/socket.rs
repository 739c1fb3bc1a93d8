//! A bound UDP socket with large buffers. A listener also reports the destination address of each datagram. It knows no
//! packets but ERROR.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use rustix::net::sockopt;
use socket2::{Domain, Protocol, Socket as Raw, Type};
use tracing::warn;

use super::batch::{self, Route, SendBatch};
use super::packet::{self, ErrorCode};

/// The receive buffer, in bytes. With the default of Linux, 208 KiB, most servers lose requests when 500 machines send
/// theirs in the same instant.
const RECEIVE_BUFFER: usize = 8 << 20;
/// The send buffer, in bytes.
const SEND_BUFFER: usize = 4 << 20;
/// How long a full send buffer may block a worker. After that the packets are lost.
const SEND_WAIT: Duration = Duration::from_millis(100);

/// A bound socket.
pub(super) struct Socket {
    udp: UdpSocket,
    address: SocketAddr,
}

impl Socket {
    /// Binds `address`. `[::]` accepts IPv4 too, unless `all` (every listen address) holds an IPv4 address with the same
    /// port. A `listener` learns the destination address of each datagram, so that the answer can be sent from it.
    pub(super) fn bind(address: SocketAddr, all: &[SocketAddr], listener: bool) -> io::Result<Self> {
        let raw = Raw::new(Domain::for_address(address), Type::DGRAM.cloexec(), Some(Protocol::UDP))?;
        if address.is_ipv6() {
            let same_port_ipv4 = |other: &SocketAddr| other.is_ipv4() && other.port() == address.port();
            raw.set_only_v6(!address.ip().is_unspecified() || all.iter().any(same_port_ipv4))?;
        }
        raw.bind(&address.into())?;
        Self::configure(raw, listener)
    }

    /// Takes over a listener that another process bound.
    pub(super) fn inherit(raw: Raw) -> io::Result<Self> {
        // Each receive call passes MSG_DONTWAIT; a send call blocks up to the write timeout.
        raw.set_nonblocking(false)?;
        Self::configure(raw, true)
    }

    fn configure(raw: Raw, listener: bool) -> io::Result<Self> {
        raw.set_write_timeout(Some(SEND_WAIT))?;
        let udp = UdpSocket::from(raw);
        let address = udp.local_addr()?;
        let granted = enlarge_buffers(&udp);
        // Only lost requests matter: data ports receive ACKs, and the peer sends those again.
        if listener && granted < RECEIVE_BUFFER {
            warn!(
                %address, granted, wanted = RECEIVE_BUFFER,
                "TFTP receive buffer too small for many clients at once; raise the sysctl net.core.rmem_max"
            );
        }
        if listener && address.ip().is_unspecified() {
            batch::enable_packet_info(&udp)?;
        }
        Ok(Self { udp, address })
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

/// Enlarges the buffers: beyond the system's limit with the capability `CAP_NET_ADMIN`, else up to it. Never shrinks those of an
/// inherited socket, which another process may have enlarged. Returns the receive buffer's size in bytes.
fn enlarge_buffers(udp: &UdpSocket) -> usize {
    // Linux doubles the requested size for its own bookkeeping, and reports the doubled value.
    let receive = || sockopt::socket_recv_buffer_size(udp).unwrap_or_default() / 2;
    let send = || sockopt::socket_send_buffer_size(udp).unwrap_or_default() / 2;
    if receive() < RECEIVE_BUFFER && sockopt::set_socket_recv_buffer_size_force(udp, RECEIVE_BUFFER).is_err() {
        let _ = sockopt::set_socket_recv_buffer_size(udp, RECEIVE_BUFFER);
    }
    if send() < SEND_BUFFER && sockopt::set_socket_send_buffer_size_force(udp, SEND_BUFFER).is_err() {
        let _ = sockopt::set_socket_send_buffer_size(udp, SEND_BUFFER);
    }
    receive()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ipv6_wildcard_leaves_listed_ipv4_free() {
        let (six, four): (SocketAddr, SocketAddr) = ("[::]:0".parse().unwrap(), "0.0.0.0:0".parse().unwrap());
        let bind_both = |all: &[SocketAddr]| {
            let socket = Socket::bind(six, all, true).unwrap();
            UdpSocket::bind((four.ip(), socket.address().port())).map(drop)
        };
        bind_both(&[six, four]).unwrap();
        assert_eq!(bind_both(&[six]).unwrap_err().kind(), io::ErrorKind::AddrInUse);
    }
}
