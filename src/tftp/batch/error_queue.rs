//! Reads the errors that routers and peers report about sent datagrams, one at a time (`IP_RECVERR` of ip(7)).

use std::io;
use std::mem::{size_of, zeroed};
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::ptr;

use socket2::{SockAddr, SockAddrStorage};

use super::message::{Control, length};
use super::receive::{enable_option, identifying};

/// Control messages of one error: a `sock_extended_err` with the address of its sender takes 64 bytes, packet information 40.
const CONTROLS: usize = 4;

/// An error that a router or a peer reported about a datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeliveryError {
    /// The peer that the datagram was sent to.
    pub peer: SocketAddr,
    /// The peer itself reports that the port is closed (ICMP port unreachable).
    pub port_closed: bool,
}

/// Makes the kernel keep the errors of sent datagrams for [`next_error`].
pub fn enable_error_queue(socket: &UdpSocket) -> io::Result<()> {
    if socket.local_addr()?.is_ipv6() {
        enable_option(socket, libc::IPPROTO_IPV6, libc::IPV6_RECVERR)?;
    }
    // An IPv6 socket may have IPv4 peers.
    enable_option(socket, libc::IPPROTO_IP, libc::IP_RECVERR)
}

/// Takes the oldest error from the queue; `None` if it is empty. Skips errors that do not say that a datagram was not
/// delivered, such as a smaller MTU. Never blocks.
pub fn next_error(socket: &UdpSocket) -> io::Result<Option<DeliveryError>> {
    loop {
        let mut name = SockAddrStorage::zeroed();
        let mut controls = [Control::EMPTY; CONTROLS];
        // SAFETY: an all-zero header is valid.
        let mut header: libc::msghdr = unsafe { zeroed() };
        header.msg_name = (&raw mut name).cast();
        header.msg_namelen = length(size_of::<SockAddrStorage>());
        header.msg_control = controls.as_mut_ptr().cast();
        header.msg_controllen = size_of_val(&controls);
        // SAFETY: the header points at the name and the control buffer, with their true lengths; both outlive the call.
        let flags = libc::MSG_ERRQUEUE | libc::MSG_DONTWAIT;
        if unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut header, flags) } < 0 {
            let error = io::Error::last_os_error();
            return if error.kind() == io::ErrorKind::WouldBlock { Ok(None) } else { Err(error) };
        }
        // SAFETY: the kernel wrote an address of this length into the storage, which fits every address.
        let name = unsafe { SockAddr::new(name, header.msg_namelen) };
        let Some(peer) = name.as_socket().map(identifying) else { continue };
        if let Some(port_closed) = undelivered(&header) {
            return Ok(Some(DeliveryError { peer, port_closed }));
        }
    }
}

/// Whether an error of the queue means that the port is closed; `None` if it does not mean a lost datagram.
fn undelivered(header: &libc::msghdr) -> Option<bool> {
    // SAFETY: the header is as the kernel left it: its control buffer holds complete control messages in the length that
    // it states, which the macros walk. The data is read unaligned, as the type that its level and kind define.
    let error = unsafe {
        let mut message = libc::CMSG_FIRSTHDR(header);
        loop {
            let control = message.as_ref()?;
            if matches!(
                (control.cmsg_level, control.cmsg_type),
                (libc::IPPROTO_IP, libc::IP_RECVERR) | (libc::IPPROTO_IPV6, libc::IPV6_RECVERR)
            ) {
                break ptr::read_unaligned(libc::CMSG_DATA(control).cast::<libc::sock_extended_err>());
            }
            message = libc::CMSG_NXTHDR(header, control);
        }
    };
    if !matches!(error.ee_origin, libc::SO_EE_ORIGIN_ICMP | libc::SO_EE_ORIGIN_ICMP6) {
        return None;
    }
    match i32::try_from(error.ee_errno).unwrap_or_default() {
        libc::ECONNREFUSED => Some(true),
        libc::EHOSTUNREACH | libc::EHOSTDOWN | libc::ENETUNREACH | libc::EACCES => Some(false),
        _ => None,
    }
}
