//! A bound UDP socket: large buffers, and whether its packets say which address was asked. It knows no packets.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use rustix::net::sockopt;
use socket2::{Domain, Protocol, Socket as Raw, Type};
use tracing::warn;

use super::batch::{self, Departures, Route};
use super::packet::{self, ErrorCode};

/// Bytes of datagrams that may wait to be read: with Linux's 208 KiB most servers lose requests when 500 machines ask in
/// one instant.
const RECEIVE_BUFFER: usize = 8 << 20;
/// Bytes that may wait to be sent.
const SEND_BUFFER: usize = 4 << 20;
/// How long a full send buffer may hold up a port's loop; after that the packets count as lost.
const SEND_WAIT: Duration = Duration::from_millis(100);

/// A bound socket.
pub(super) struct Socket {
    udp: UdpSocket,
    address: SocketAddr,
}

impl Socket {
    /// Binds `address`; `[::]` takes IPv4 too, unless `beside` (all addresses of the settings) has the IPv4 one of the
    /// same port. A `listener` hears to which of this machine's addresses it was spoken, so that the answer can come from
    /// there.
    pub(super) fn bind(address: SocketAddr, beside: &[SocketAddr], listener: bool) -> io::Result<Self> {
        let raw = Raw::new(Domain::for_address(address), Type::DGRAM.cloexec(), Some(Protocol::UDP))?;
        if address.is_ipv6() {
            let ipv4_beside = |other: &SocketAddr| other.is_ipv4() && other.port() == address.port();
            raw.set_only_v6(!address.ip().is_unspecified() || beside.iter().any(ipv4_beside))?;
        }
        raw.bind(&address.into())?;
        Self::of(raw, listener)
    }

    /// A listener's socket that another process bound.
    pub(super) fn inherit(raw: Raw) -> io::Result<Self> {
        // Reading asks each time not to wait; writing waits as long as it is told below.
        raw.set_nonblocking(false)?;
        Self::of(raw, true)
    }

    fn of(raw: Raw, listener: bool) -> io::Result<Self> {
        raw.set_write_timeout(Some(SEND_WAIT))?;
        let udp = UdpSocket::from(raw);
        let address = udp.local_addr()?;
        let granted = enlarge(&udp);
        // What a data port loses is said again.
        if listener && granted < RECEIVE_BUFFER {
            warn!(
                %address, granted, wanted = RECEIVE_BUFFER,
                "the receive buffer is small, so requests may be lost when many machines boot at once; \
                 raise the sysctl net.core.rmem_max to {RECEIVE_BUFFER}"
            );
        }
        if listener && address.ip().is_unspecified() {
            batch::tell_destination(&udp)?;
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

    /// Sends one ERROR packet, now.
    pub(super) fn send_error(&self, route: &Route, code: ErrorCode, message: &str) {
        let mut out = Departures::new();
        let packet = packet::error(code, message);
        out.push_whole(route, packet.into());
        // The peer asks again when this is lost.
        out.flush(&self.udp, |_, _| {});
    }
}

/// Asks for large buffers: with the privilege beyond the system's limit, else up to it. Who bound an inherited socket may
/// have had the privilege: its buffers are never made smaller. Returns how many bytes may wait to be read.
fn enlarge(udp: &UdpSocket) -> usize {
    // Linux doubles what is asked for its own bookkeeping, and tells the double.
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
    fn the_ipv4_address_beside_the_ipv6_one_can_be_had() {
        let (six, four): (SocketAddr, SocketAddr) = ("[::]:0".parse().unwrap(), "0.0.0.0:0".parse().unwrap());
        let port_of = |beside: &[SocketAddr]| {
            let socket = Socket::bind(six, beside, true).unwrap();
            UdpSocket::bind((four.ip(), socket.address().port())).map(drop)
        };
        port_of(&[six, four]).unwrap();
        assert_eq!(port_of(&[six]).unwrap_err().kind(), io::ErrorKind::AddrInUse);
    }
}
