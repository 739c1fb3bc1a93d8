//! Datagrams by the batch: one system call for many packets of many peers, and one message for a row of equal packets
//! to one peer (UDP segmentation). The room's only unsafe code; it knows nothing of TFTP but that a packet is a short
//! header and a payload.

#![expect(unsafe_code, reason = "no crate at hand wraps recvmmsg, sendmmsg and their control messages")]

use std::io;
use std::mem::{size_of, zeroed};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::ptr;

use bytes::Bytes;
use socket2::{SockAddr, SockAddrStorage};

use super::packet::HEADER;

/// Datagrams of one call. At 64 the call's own cost is below a tenth of the datagrams'.
pub const BATCH: usize = 64;
/// Bytes kept of a datagram: an asset name of the longest, with options. What is longer is cut, and marked as cut.
const DATAGRAM: usize = 1536;
/// The most packets the kernel takes as one message (`UDP_MAX_SEGMENTS` of Linux before 6.9).
const MAX_SEGMENTS: usize = 64;
/// The most bytes of one message: 65,535 less the headers of IPv6 and UDP, rounded down.
const MAX_MESSAGE: usize = 65_400;
/// Room for the control messages of one datagram: an `in6_pktinfo` and a segment size take 40 and 24 bytes.
const CONTROL: usize = 64;

/// The address of this machine that a peer asked, and that it must be answered from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Source {
    /// The address.
    ip: IpAddr,
    /// The interface, for link-local addresses, which mean nothing without; else 0.
    interface: u32,
}

impl Source {
    /// The address.
    pub fn ip(&self) -> IpAddr {
        self.ip
    }
}

impl From<IpAddr> for Source {
    fn from(ip: IpAddr) -> Self {
        Self { ip, interface: 0 }
    }
}

/// Where a datagram goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route {
    /// The peer.
    pub peer: SocketAddr,
    /// The address to send from, where the socket is bound to any.
    pub source: Option<Source>,
    /// Whether a row of packets may go as one message: until the kernel says that this route cannot.
    pub segments: bool,
}

/// What became of a packet that was to be sent.
#[derive(Debug)]
pub enum Trouble {
    /// It was not sent. It is lost, like those that the network loses.
    Lost(io::Error),
    /// It was part of a row, and its route takes no rows (see [`Route::segments`]). The row's packets went one by one.
    Unsegmented,
}

/// A received datagram.
pub struct Arrival<'a> {
    /// Who sent it, and to which of our addresses.
    pub route: Route,
    /// Its bytes.
    pub datagram: &'a [u8],
    /// Whether bytes were cut off.
    pub cut: bool,
}

#[derive(Clone, Copy)]
#[repr(C, align(8))]
struct Control([u8; CONTROL]);

/// Room for the datagrams of one receive call.
pub struct Arrivals {
    buffers: Box<[[u8; DATAGRAM]]>,
    names: Box<[SockAddrStorage]>,
    controls: Box<[Control]>,
    iovecs: Vec<libc::iovec>,
    headers: Vec<libc::mmsghdr>,
}

/// Asks the kernel to say, with each datagram, which of this machine's addresses it was sent to.
pub fn tell_destination(socket: &UdpSocket) -> io::Result<()> {
    let (level, option) = match socket.local_addr()? {
        SocketAddr::V4(_) => (libc::IPPROTO_IP, libc::IP_PKTINFO),
        SocketAddr::V6(_) => (libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO),
    };
    switch_on(socket, level, option)
}

/// Sets an option that is a flag.
fn switch_on(socket: &UdpSocket, level: libc::c_int, option: libc::c_int) -> io::Result<()> {
    let on: libc::c_int = 1;
    // SAFETY: the option's value is one int, which lives through the call.
    let result = unsafe {
        libc::setsockopt(socket.as_raw_fd(), level, option, (&raw const on).cast(), length(size_of::<libc::c_int>()))
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// The bytes of a message that [`Departures`] laid out, and whether it is a row, as the kernel would see them.
#[cfg(test)]
fn seen(message: &libc::mmsghdr) -> (Vec<u8>, bool) {
    let header = &message.msg_hdr;
    // SAFETY: the header is one of those that `flush_by` lays out: its iovecs and what they point at are there.
    let bytes = unsafe {
        std::slice::from_raw_parts(header.msg_iov, header.msg_iovlen)
            .iter()
            .flat_map(|piece| std::slice::from_raw_parts(piece.iov_base.cast::<u8>(), piece.iov_len).to_vec())
            .collect()
    };
    (bytes, header.msg_controllen > 0)
}

impl Default for Arrivals {
    fn default() -> Self {
        Self::new()
    }
}

impl Arrivals {
    /// Room for [`BATCH`] datagrams.
    pub fn new() -> Self {
        Self {
            buffers: vec![[0; DATAGRAM]; BATCH].into(),
            names: (0..BATCH).map(|_| SockAddrStorage::zeroed()).collect(),
            controls: vec![Control([0; CONTROL]); BATCH].into(),
            iovecs: Vec::with_capacity(BATCH),
            headers: Vec::with_capacity(BATCH),
        }
    }

    /// Takes what has arrived, up to [`BATCH`] datagrams, and says how many they are. Never blocks: 0 is nothing.
    pub fn receive(&mut self, socket: &UdpSocket) -> io::Result<usize> {
        self.iovecs.clear();
        self.iovecs.extend(
            self.buffers.iter_mut().map(|b| libc::iovec { iov_base: b.as_mut_ptr().cast(), iov_len: DATAGRAM }),
        );
        self.headers.clear();
        for ((iovec, name), control) in self.iovecs.iter_mut().zip(&mut self.names).zip(&mut self.controls) {
            // SAFETY: a header of zeros is a valid one.
            let mut header: libc::mmsghdr = unsafe { zeroed() };
            header.msg_hdr.msg_name = ptr::from_mut(name).cast();
            header.msg_hdr.msg_namelen = length(size_of::<SockAddrStorage>());
            header.msg_hdr.msg_iov = iovec;
            header.msg_hdr.msg_iovlen = 1;
            header.msg_hdr.msg_control = control.0.as_mut_ptr().cast();
            header.msg_hdr.msg_controllen = CONTROL;
            self.headers.push(header);
        }
        // SAFETY: every header points at a buffer, a name and a control buffer of its own, of the lengths it says, in
        // boxes and a vector that nothing moves or frees during the call.
        let count = unsafe {
            let flags = libc::MSG_DONTWAIT;
            libc::recvmmsg(socket.as_raw_fd(), self.headers.as_mut_ptr(), length(BATCH), flags, ptr::null_mut())
        };
        let received = usize::try_from(count).or_else(|_| match io::Error::last_os_error() {
            e if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => Ok(0),
            e => Err(e),
        });
        self.headers.truncate(*received.as_ref().unwrap_or(&0));
        received
    }

    /// The datagrams of the last call. Those of no IP address are left out.
    pub fn iter(&self) -> impl Iterator<Item = Arrival<'_>> {
        self.headers.iter().enumerate().filter_map(|(index, header)| {
            // SAFETY: the kernel wrote an address of this length into the storage, which is large enough for any.
            let name = unsafe { SockAddr::new(ptr::read(&raw const self.names[index]), header.msg_hdr.msg_namelen) };
            let mut peer = name.as_socket()?;
            if let SocketAddr::V6(peer) = &mut peer {
                peer.set_flowinfo(0); // no part of who the peer is
            }
            let datagram = self.buffers[index].get(..header.msg_len as usize)?;
            let cut = header.msg_hdr.msg_flags & libc::MSG_TRUNC != 0;
            Some(Arrival { route: Route { peer, source: destination(&header.msg_hdr), segments: true }, datagram, cut })
        })
    }
}

/// The address that a received datagram was sent to, where its control messages say so.
fn destination(header: &libc::msghdr) -> Option<Source> {
    // SAFETY: the header is as the kernel left it: its control buffer holds whole control messages of the length that
    // it says, which is what the macros walk. The data is read unaligned and only of the type that level and kind name.
    unsafe {
        let mut message = libc::CMSG_FIRSTHDR(header);
        while let Some(control) = message.as_ref() {
            match (control.cmsg_level, control.cmsg_type) {
                (libc::IPPROTO_IP, libc::IP_PKTINFO) => {
                    let info: libc::in_pktinfo = ptr::read_unaligned(libc::CMSG_DATA(control).cast());
                    // For a broadcast, spec_dst is the interface's own address.
                    let ip = Ipv4Addr::from(u32::from_be(info.ipi_spec_dst.s_addr));
                    return Some(Source { ip: ip.into(), interface: 0 });
                }
                (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
                    let info: libc::in6_pktinfo = ptr::read_unaligned(libc::CMSG_DATA(control).cast());
                    let ip = Ipv6Addr::from(info.ipi6_addr.s6_addr);
                    let interface = if ip.is_unicast_link_local() { info.ipi6_ifindex } else { 0 };
                    // A multicast address cannot be sent from: the route decides.
                    return (!ip.is_multicast()).then_some(Source { ip: ip.into(), interface });
                }
                _ => message = libc::CMSG_NXTHDR(header, control),
            }
        }
    }
    None
}

/// Packets to be sent, gathered until [`Departures::flush`].
pub struct Departures {
    messages: Vec<Message>,
    pieces: Vec<Piece>,
    iovecs: Vec<libc::iovec>,
    headers: Vec<libc::mmsghdr>,
    controls: Vec<Control>,
}

/// One message: one packet, or a row of packets of equal length of which the last may be shorter.
struct Message {
    route: Route,
    name: SockAddr,
    first_piece: usize,
    packets: usize,
    bytes: usize,
    /// Bytes of each packet but the last.
    packet_size: usize,
    /// A shorter packet has ended the row.
    ended: bool,
}

enum Piece {
    Header([u8; HEADER]),
    Payload(Bytes),
}

impl Piece {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Header(bytes) => bytes,
            Self::Payload(bytes) => bytes,
        }
    }

    /// Where the bytes are. A payload may be pages that user space must not touch; its address is free to be known.
    fn iovec(&self) -> libc::iovec {
        let bytes = self.bytes();
        libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() }
    }
}

impl Default for Departures {
    fn default() -> Self {
        Self::new()
    }
}

impl Departures {
    /// Nothing to be sent.
    pub fn new() -> Self {
        Self {
            messages: Vec::with_capacity(BATCH),
            pieces: Vec::with_capacity(4 * BATCH),
            iovecs: Vec::with_capacity(4 * BATCH),
            headers: Vec::with_capacity(BATCH),
            controls: Vec::with_capacity(BATCH),
        }
    }

    /// Whether it is time to flush: a full batch of messages, or so many pieces that the memory grows large.
    pub fn is_full(&self) -> bool {
        self.messages.len() >= BATCH || self.pieces.len() >= 64 * BATCH
    }

    /// Adds a packet of `header` and `payload`; `full` is the size of the packets in its row, header included.
    pub fn push(&mut self, route: &Route, full: usize, header: [u8; HEADER], payload: impl Iterator<Item = Bytes>) {
        let first_piece = self.pieces.len();
        self.pieces.push(Piece::Header(header));
        self.pieces.extend(payload.map(Piece::Payload));
        let size = self.pieces[first_piece..].iter().map(|piece| piece.bytes().len()).sum();
        match self.messages.last_mut() {
            Some(row) if row.takes(route, full, size) => {
                row.packets += 1;
                row.bytes += size;
                row.ended = size < full;
            }
            _ => self.messages.push(Message {
                route: *route,
                name: route.peer.into(),
                first_piece,
                packets: 1,
                bytes: size,
                packet_size: full,
                ended: size < full,
            }),
        }
    }

    /// Adds a packet that is no part of a row.
    pub fn push_whole(&mut self, route: &Route, packet: Bytes) {
        let (first_piece, bytes) = (self.pieces.len(), packet.len());
        self.pieces.push(Piece::Payload(packet));
        let name = route.peer.into();
        let row = Message { route: *route, name, first_piece, packets: 1, bytes, packet_size: bytes, ended: true };
        self.messages.push(row);
    }

    /// Sends everything; `troubled` learns of packets that were not sent as they should, and to whom.
    pub fn flush(&mut self, socket: &UdpSocket, troubled: impl FnMut(SocketAddr, Trouble)) {
        let descriptor = socket.as_raw_fd();
        self.flush_by(
            |headers| {
                // SAFETY: the headers point into `messages`, `pieces` (through `iovecs`) and `controls`, which are not
                // touched before the next `lay_out`. The kernel only reads; a page that cannot be read is EFAULT.
                let sent = unsafe { libc::sendmmsg(descriptor, headers.as_mut_ptr(), length(headers.len()), 0) };
                usize::try_from(sent).map_err(|_| io::Error::last_os_error())
            },
            troubled,
        );
    }

    /// As [`Departures::flush`], by a call that sends some messages, from the first on, and says how many.
    fn flush_by(
        &mut self,
        mut call: impl FnMut(&mut [libc::mmsghdr]) -> io::Result<usize>,
        mut troubled: impl FnMut(SocketAddr, Trouble),
    ) {
        self.lay_out();
        let mut at = 0;
        while at < self.headers.len() {
            let mut outcome = call(&mut self.headers[at..]);
            let peer = self.messages[at].route.peer;
            if self.messages[at].packets > 1 && outcome.as_ref().is_err_and(refuses_rows) {
                troubled(peer, Trouble::Unsegmented);
                outcome = self.send_one_by_one(at, &mut call).map(|()| 1);
            }
            match outcome {
                Ok(sent) => at += sent,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    // The send buffer stayed full for as long as may be waited. As long again for each of the rest
                    // would hold up all transfers.
                    for message in &self.messages[at..] {
                        troubled(message.route.peer, Trouble::Lost(io::ErrorKind::WouldBlock.into()));
                    }
                    break;
                }
                Err(error) => {
                    troubled(peer, Trouble::Lost(error));
                    at += 1;
                }
            }
        }
        self.messages.clear();
        self.pieces.clear();
    }

    /// Sends the packets of one row as a message each.
    fn send_one_by_one(
        &mut self,
        index: usize,
        call: &mut impl FnMut(&mut [libc::mmsghdr]) -> io::Result<usize>,
    ) -> io::Result<()> {
        let (mut header, message) = (self.headers[index], &self.messages[index]);
        let control = &mut self.controls[index];
        *control = Control([0; CONTROL]);
        header.msg_hdr.msg_controllen = write_control(control, message.route.source, None);
        header.msg_hdr.msg_control = control.0.as_mut_ptr().cast();
        let end = self.messages.get(index + 1).map_or(self.pieces.len(), |next| next.first_piece);
        let mut starts: Vec<usize> =
            (message.first_piece..end).filter(|at| matches!(self.pieces[*at], Piece::Header(_))).chain([end]).collect();
        starts.dedup();
        for packet in starts.windows(2) {
            let iovecs = &mut self.iovecs[packet[0]..packet[1]];
            header.msg_hdr.msg_iov = iovecs.as_mut_ptr();
            header.msg_hdr.msg_iovlen = iovecs.len();
            while let Err(error) = call(std::slice::from_mut(&mut header)) {
                if error.kind() != io::ErrorKind::Interrupted {
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    /// Writes the system call's view of the messages: one iovec a piece, one header a message.
    fn lay_out(&mut self) {
        self.iovecs.clear();
        self.iovecs.extend(self.pieces.iter().map(Piece::iovec));
        self.controls.clear();
        self.controls.resize(self.messages.len(), Control([0; CONTROL]));
        self.headers.clear();
        let ends = self.messages.iter().skip(1).map(|next| next.first_piece).chain([self.pieces.len()]);
        for ((message, end), control) in self.messages.iter().zip(ends).zip(&mut self.controls) {
            // SAFETY: a header of zeros is a valid one.
            let mut header: libc::mmsghdr = unsafe { zeroed() };
            header.msg_hdr.msg_name = message.name.as_ptr().cast_mut().cast();
            header.msg_hdr.msg_namelen = message.name.len();
            let iovecs = &mut self.iovecs[message.first_piece..end];
            header.msg_hdr.msg_iov = iovecs.as_mut_ptr();
            header.msg_hdr.msg_iovlen = iovecs.len();
            let segment = (message.packets > 1).then(|| u16::try_from(message.packet_size).unwrap_or(u16::MAX));
            header.msg_hdr.msg_controllen = write_control(control, message.route.source, segment);
            if header.msg_hdr.msg_controllen > 0 {
                header.msg_hdr.msg_control = control.0.as_mut_ptr().cast();
            }
            self.headers.push(header);
        }
    }
}

impl Message {
    /// Whether a packet of `size` bytes to `route`, in a row of packets of `full` bytes, can go with this message.
    fn takes(&self, route: &Route, full: usize, size: usize) -> bool {
        route.segments
            && !self.ended
            && self.route == *route
            && self.packet_size == full
            && self.packets < MAX_SEGMENTS
            && self.bytes + size <= MAX_MESSAGE
    }
}

/// Whether an error can mean that a route or kernel knows no segmentation.
fn refuses_rows(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EIO | libc::EINVAL | libc::EMSGSIZE))
}

/// Writes the control messages of a datagram and returns their length.
fn write_control(control: &mut Control, source: Option<Source>, segment: Option<u16>) -> usize {
    let mut at = 0;
    let mut put = |level: libc::c_int, kind: libc::c_int, data: &[u8]| {
        let data_length = libc::c_uint::try_from(data.len()).unwrap_or_default();
        // SAFETY: CMSG_SPACE and CMSG_LEN only compute. The buffer is aligned as a control message's header is, `at` is
        // a multiple of that alignment, and both control messages together take no more than CONTROL bytes.
        unsafe {
            let header: *mut libc::cmsghdr = control.0.as_mut_ptr().add(at).cast();
            (*header).cmsg_level = level;
            (*header).cmsg_type = kind;
            (*header).cmsg_len = libc::CMSG_LEN(data_length) as usize;
            ptr::copy_nonoverlapping(data.as_ptr(), libc::CMSG_DATA(header), data.len());
            at += libc::CMSG_SPACE(data_length) as usize;
        }
    };
    match source {
        Some(Source { ip: IpAddr::V4(ip), .. }) => {
            // struct in_pktinfo: interface, the address to send from, the header's destination (not read).
            let mut info = [0; size_of::<libc::in_pktinfo>()];
            info[4..8].copy_from_slice(&ip.octets());
            put(libc::IPPROTO_IP, libc::IP_PKTINFO, &info);
        }
        Some(Source { ip: IpAddr::V6(ip), interface }) => {
            // struct in6_pktinfo: the address to send from, interface.
            let mut info = [0; size_of::<libc::in6_pktinfo>()];
            info[..16].copy_from_slice(&ip.octets());
            info[16..].copy_from_slice(&interface.to_ne_bytes());
            put(libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, &info);
        }
        None => {}
    }
    if let Some(size) = segment {
        put(libc::SOL_UDP, libc::UDP_SEGMENT, &size.to_ne_bytes());
    }
    at
}

/// A length as the socket calls want it; all of them here are small.
fn length<T: TryFrom<usize> + Default>(length: usize) -> T {
    T::try_from(length).unwrap_or_default()
}

#[cfg(test)]
mod tests;
