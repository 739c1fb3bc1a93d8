//! Receives many datagrams with one system call.

use std::io;
use std::mem::{size_of, zeroed};
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::ptr;

use socket2::{SockAddr, SockAddrStorage};

use super::message::{BATCH, Control, destination, length};
use super::route::Route;

/// Bytes received of a datagram: enough for the longest asset name with options. Longer datagrams are truncated and marked.
pub(super) const MAX_DATAGRAM: usize = 1536;
/// A received datagram.
pub struct Datagram<'a> {
    /// Its sender, and the local address that it was sent to.
    pub route: Route,
    /// Its bytes.
    pub bytes: &'a [u8],
    /// Whether bytes were cut off.
    pub truncated: bool,
}

/// The buffers of one receive call.
pub struct RecvBatch {
    buffers: Box<[[u8; MAX_DATAGRAM]]>,
    names: Box<[SockAddrStorage]>,
    controls: Box<[Control]>,
    iovecs: Vec<libc::iovec>,
    headers: Vec<libc::mmsghdr>,
}

/// Makes the kernel report the destination address of each datagram (`IP_PKTINFO`, `IPV6_RECVPKTINFO`).
pub fn enable_packet_info(socket: &UdpSocket) -> io::Result<()> {
    let (level, option) = match socket.local_addr()? {
        SocketAddr::V4(_) => (libc::IPPROTO_IP, libc::IP_PKTINFO),
        SocketAddr::V6(_) => (libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO),
    };
    enable_option(socket, level, option)
}

/// Whether a call failed with the error of an earlier datagram, perhaps to another peer. The kernel reports each error to one
/// call (udp(7)), and the call can be repeated.
pub(super) fn is_delivery_error(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::ECONNREFUSED | libc::EHOSTUNREACH | libc::EHOSTDOWN | libc::ENETUNREACH | libc::EACCES)
    )
}

/// Enables a boolean socket option.
pub(super) fn enable_option(socket: &UdpSocket, level: libc::c_int, option: libc::c_int) -> io::Result<()> {
    let on: libc::c_int = 1;
    // SAFETY: the option's value is one int, which lives through the call.
    let result = unsafe {
        libc::setsockopt(socket.as_raw_fd(), level, option, (&raw const on).cast(), length(size_of::<libc::c_int>()))
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// The address without what does not identify a peer: the flow label.
pub(super) fn identifying(mut peer: SocketAddr) -> SocketAddr {
    if let SocketAddr::V6(peer) = &mut peer {
        peer.set_flowinfo(0);
    }
    peer
}

impl Default for RecvBatch {
    fn default() -> Self {
        Self::new()
    }
}

impl RecvBatch {
    /// Buffers for [`BATCH`] datagrams.
    pub fn new() -> Self {
        Self {
            buffers: vec![[0; MAX_DATAGRAM]; BATCH].into(),
            names: (0..BATCH).map(|_| SockAddrStorage::zeroed()).collect(),
            controls: vec![Control::EMPTY; BATCH].into(),
            iovecs: Vec::with_capacity(BATCH),
            headers: Vec::with_capacity(BATCH),
        }
    }

    /// Receives up to [`BATCH`] datagrams and returns how many. Never blocks: returns 0 if none waits.
    pub fn receive(&mut self, socket: &UdpSocket) -> io::Result<usize> {
        self.receive_up_to(BATCH, socket)
    }

    /// Receives up to `max` datagrams, at most [`BATCH`], and returns how many. If these are fewer, no other waits. Never blocks.
    pub fn receive_up_to(&mut self, max: usize, socket: &UdpSocket) -> io::Result<usize> {
        self.iovecs.clear();
        self.iovecs.extend(
            self.buffers
                .iter_mut()
                .take(max)
                .map(|b| libc::iovec { iov_base: b.as_mut_ptr().cast(), iov_len: MAX_DATAGRAM }),
        );
        self.headers.clear();
        for ((iovec, name), control) in self.iovecs.iter_mut().zip(&mut self.names).zip(&mut self.controls) {
            // SAFETY: an all-zero header is valid.
            let mut header: libc::mmsghdr = unsafe { zeroed() };
            header.msg_hdr.msg_name = ptr::from_mut(name).cast();
            header.msg_hdr.msg_namelen = length(size_of::<SockAddrStorage>());
            header.msg_hdr.msg_iov = iovec;
            header.msg_hdr.msg_iovlen = 1;
            header.msg_hdr.msg_control = control.0.as_mut_ptr().cast();
            header.msg_hdr.msg_controllen = control.0.len();
            self.headers.push(header);
        }
        // SAFETY: every header points at a buffer, a name and a control buffer of its own, with their true lengths, in
        // boxes and a vector that nothing moves or frees during the call.
        let count = unsafe {
            let flags = libc::MSG_DONTWAIT;
            libc::recvmmsg(
                socket.as_raw_fd(),
                self.headers.as_mut_ptr(),
                length(self.headers.len()),
                flags,
                ptr::null_mut(),
            )
        };
        let received = usize::try_from(count).or_else(|_| match io::Error::last_os_error() {
            e if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => Ok(0),
            e if is_delivery_error(&e) => Ok(0),
            e => Err(e),
        });
        self.headers.truncate(*received.as_ref().unwrap_or(&0));
        received
    }

    /// The datagrams of the last call, except those whose sender has no IP address.
    pub fn iter(&self) -> impl Iterator<Item = Datagram<'_>> {
        self.headers.iter().enumerate().filter_map(|(index, header)| {
            // SAFETY: the kernel wrote an address of this length into the storage, which fits every address.
            let name = unsafe { SockAddr::new(ptr::read(&raw const self.names[index]), header.msg_hdr.msg_namelen) };
            let peer = identifying(name.as_socket()?);
            let bytes = self.buffers[index].get(..header.msg_len as usize)?;
            let truncated = header.msg_hdr.msg_flags & libc::MSG_TRUNC != 0;
            let route = Route { peer, source: destination(&header.msg_hdr), segmentation: true };
            Some(Datagram { route, bytes, truncated })
        })
    }
}
