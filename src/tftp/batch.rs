//! Batched UDP: one system call for many packets of many peers (`recvmmsg`, `sendmmsg`), and one message for a run of
//! packets of equal size to one peer (UDP segmentation, GSO). The only unsafe code of this room. It knows nothing of TFTP
//! but that a packet is a short header and a payload.

#![expect(unsafe_code, reason = "no dependency wraps recvmmsg, sendmmsg and their control messages")]

use std::io;
use std::mem::{size_of, zeroed};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::ptr;

use bytes::Bytes;
use socket2::{SockAddr, SockAddrStorage};

use super::packet::HEADER;

/// Datagrams per system call. At 64 the cost of the call itself is less than a tenth of the cost of the datagrams.
pub const BATCH: usize = 64;
/// Bytes received of a datagram: enough for the longest asset name with options. Longer datagrams are truncated and marked.
const MAX_DATAGRAM: usize = 1536;
/// The most packets that the kernel accepts as one message (`UDP_MAX_SEGMENTS` of Linux before 6.9).
const MAX_SEGMENTS: usize = 64;
/// The most bytes of one message: 65,535 less the headers of IPv6 and UDP, rounded down.
const MAX_MESSAGE_BYTES: usize = 65_400;
/// Bytes for the control messages of one datagram: an `in6_pktinfo` and a segment size take 40 and 24 bytes.
const CONTROL_BYTES: usize = 64;

/// The local address that a peer sent its datagram to. Answers must come from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SourceAddress {
    ip: IpAddr,
    /// The interface of a link-local address, which is ambiguous without; else 0.
    interface: u32,
}

impl SourceAddress {
    /// The address.
    pub fn ip(&self) -> IpAddr {
        self.ip
    }
}

impl From<IpAddr> for SourceAddress {
    fn from(ip: IpAddr) -> Self {
        Self { ip, interface: 0 }
    }
}

/// The two ends of the path to a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route {
    /// The peer.
    pub peer: SocketAddr,
    /// The address to send from; `None` if the socket is bound to one.
    pub source: Option<SourceAddress>,
    /// Whether several packets may be sent as one message with UDP segmentation. True until the kernel refuses.
    pub segmentation: bool,
}

/// Why packets were not sent as requested.
#[derive(Debug)]
pub enum SendFailure {
    /// The packets were not sent. They are lost, as if the network had lost them.
    Lost(io::Error),
    /// The route does not support UDP segmentation (see [`Route::segmentation`]). The packets were sent one by one.
    NoSegmentation,
}

/// A received datagram.
pub struct Datagram<'a> {
    /// Its sender, and the local address that it was sent to.
    pub route: Route,
    /// Its bytes.
    pub bytes: &'a [u8],
    /// Whether bytes were cut off.
    pub truncated: bool,
}

#[derive(Clone, Copy)]
#[repr(C, align(8))]
struct Control([u8; CONTROL_BYTES]);

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

/// Enables a boolean socket option.
fn enable_option(socket: &UdpSocket, level: libc::c_int, option: libc::c_int) -> io::Result<()> {
    let on: libc::c_int = 1;
    // SAFETY: the option's value is one int, which lives through the call.
    let result = unsafe {
        libc::setsockopt(socket.as_raw_fd(), level, option, (&raw const on).cast(), length(size_of::<libc::c_int>()))
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// The bytes of a message of [`SendBatch`], and whether it has control messages, as the kernel would read them.
#[cfg(test)]
fn inspect(message: &libc::mmsghdr) -> (Vec<u8>, bool) {
    let header = &message.msg_hdr;
    // SAFETY: the header is from `build_headers`: its iovecs and the bytes that they point at are alive.
    let bytes = unsafe {
        std::slice::from_raw_parts(header.msg_iov, header.msg_iovlen)
            .iter()
            .flat_map(|piece| std::slice::from_raw_parts(piece.iov_base.cast::<u8>(), piece.iov_len).to_vec())
            .collect()
    };
    (bytes, header.msg_controllen > 0)
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
            controls: vec![Control([0; CONTROL_BYTES]); BATCH].into(),
            iovecs: Vec::with_capacity(BATCH),
            headers: Vec::with_capacity(BATCH),
        }
    }

    /// Receives up to [`BATCH`] datagrams and returns how many. Never blocks: returns 0 if none waits.
    pub fn receive(&mut self, socket: &UdpSocket) -> io::Result<usize> {
        self.iovecs.clear();
        self.iovecs.extend(
            self.buffers.iter_mut().map(|b| libc::iovec { iov_base: b.as_mut_ptr().cast(), iov_len: MAX_DATAGRAM }),
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
            header.msg_hdr.msg_controllen = CONTROL_BYTES;
            self.headers.push(header);
        }
        // SAFETY: every header points at a buffer, a name and a control buffer of its own, with their true lengths, in
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

    /// The datagrams of the last call, except those whose sender has no IP address.
    pub fn iter(&self) -> impl Iterator<Item = Datagram<'_>> {
        self.headers.iter().enumerate().filter_map(|(index, header)| {
            // SAFETY: the kernel wrote an address of this length into the storage, which fits every address.
            let name = unsafe { SockAddr::new(ptr::read(&raw const self.names[index]), header.msg_hdr.msg_namelen) };
            let mut peer = name.as_socket()?;
            if let SocketAddr::V6(peer) = &mut peer {
                peer.set_flowinfo(0); // it does not identify the peer
            }
            let bytes = self.buffers[index].get(..header.msg_len as usize)?;
            let truncated = header.msg_hdr.msg_flags & libc::MSG_TRUNC != 0;
            let route = Route { peer, source: destination(&header.msg_hdr), segmentation: true };
            Some(Datagram { route, bytes, truncated })
        })
    }
}

/// The address that a datagram was sent to; `None` without a control message that holds it.
fn destination(header: &libc::msghdr) -> Option<SourceAddress> {
    // SAFETY: the header is as the kernel left it: its control buffer holds complete control messages in the length that
    // it states, which the macros walk. The data is read unaligned, as the type that its level and kind define.
    unsafe {
        let mut message = libc::CMSG_FIRSTHDR(header);
        while let Some(control) = message.as_ref() {
            match (control.cmsg_level, control.cmsg_type) {
                (libc::IPPROTO_IP, libc::IP_PKTINFO) => {
                    let info: libc::in_pktinfo = ptr::read_unaligned(libc::CMSG_DATA(control).cast());
                    // For a broadcast, spec_dst is the address of the interface.
                    let ip = Ipv4Addr::from(u32::from_be(info.ipi_spec_dst.s_addr));
                    return Some(SourceAddress { ip: ip.into(), interface: 0 });
                }
                (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
                    let info: libc::in6_pktinfo = ptr::read_unaligned(libc::CMSG_DATA(control).cast());
                    let ip = Ipv6Addr::from(info.ipi6_addr.s6_addr);
                    let interface = if ip.is_unicast_link_local() { info.ipi6_ifindex } else { 0 };
                    // A multicast address cannot be a source: the kernel then chooses one by the route.
                    return (!ip.is_multicast()).then_some(SourceAddress { ip: ip.into(), interface });
                }
                _ => message = libc::CMSG_NXTHDR(header, control),
            }
        }
    }
    None
}

/// Packets to send, collected until [`SendBatch::flush`].
pub struct SendBatch {
    messages: Vec<Message>,
    pieces: Vec<Piece>,
    iovecs: Vec<libc::iovec>,
    headers: Vec<libc::mmsghdr>,
    controls: Vec<Control>,
}

/// One message: one packet, or a run of packets of equal size of which the last may be shorter.
struct Message {
    route: Route,
    name: SockAddr,
    first_piece: usize,
    packets: usize,
    bytes: usize,
    /// The size of each packet but the last, in bytes.
    packet_size: usize,
    /// A shorter packet has ended the run.
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

    /// The address of the bytes. They are not read here: a payload may be a mapped page whose read fails.
    fn iovec(&self) -> libc::iovec {
        let bytes = self.bytes();
        libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() }
    }
}

impl Default for SendBatch {
    fn default() -> Self {
        Self::new()
    }
}

impl SendBatch {
    /// An empty batch.
    pub fn new() -> Self {
        Self {
            messages: Vec::with_capacity(BATCH),
            pieces: Vec::with_capacity(4 * BATCH),
            iovecs: Vec::with_capacity(4 * BATCH),
            headers: Vec::with_capacity(BATCH),
            controls: Vec::with_capacity(BATCH),
        }
    }

    /// Whether the batch should be flushed: it has its number of messages, or pieces enough to use much memory.
    pub fn is_full(&self) -> bool {
        self.messages.len() >= BATCH || self.pieces.len() >= 64 * BATCH
    }

    /// Adds a packet of `header` and `payload`. `full` is the size of the packets in its run, with the header.
    pub fn push(&mut self, route: &Route, full: usize, header: [u8; HEADER], payload: impl Iterator<Item = Bytes>) {
        let first_piece = self.pieces.len();
        self.pieces.push(Piece::Header(header));
        self.pieces.extend(payload.map(Piece::Payload));
        let size = self.pieces[first_piece..].iter().map(|piece| piece.bytes().len()).sum();
        match self.messages.last_mut() {
            Some(run) if run.accepts(route, full, size) => {
                run.packets += 1;
                run.bytes += size;
                run.ended = size < full;
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

    /// Adds a packet that is a message of its own.
    pub fn push_single(&mut self, route: &Route, packet: Bytes) {
        let (first_piece, bytes) = (self.pieces.len(), packet.len());
        self.pieces.push(Piece::Payload(packet));
        let name = route.peer.into();
        let message = Message { route: *route, name, first_piece, packets: 1, bytes, packet_size: bytes, ended: true };
        self.messages.push(message);
    }

    /// Sends all packets and empties the batch. Calls `on_failure` with the peer of each message that was not sent as
    /// requested.
    pub fn flush(&mut self, socket: &UdpSocket, on_failure: impl FnMut(SocketAddr, SendFailure)) {
        let descriptor = socket.as_raw_fd();
        self.flush_with(
            |headers| {
                // SAFETY: the headers point into `messages`, `pieces` (through `iovecs`) and `controls`, which stay
                // unchanged until the next `build_headers`. The kernel only reads; an unreadable page is EFAULT.
                let sent = unsafe { libc::sendmmsg(descriptor, headers.as_mut_ptr(), length(headers.len()), 0) };
                usize::try_from(sent).map_err(|_| io::Error::last_os_error())
            },
            on_failure,
        );
    }

    /// Like [`SendBatch::flush`], with a `call` that sends some messages, from the first on, and returns how many.
    fn flush_with(
        &mut self,
        mut call: impl FnMut(&mut [libc::mmsghdr]) -> io::Result<usize>,
        mut on_failure: impl FnMut(SocketAddr, SendFailure),
    ) {
        self.build_headers();
        let mut at = 0;
        while at < self.headers.len() {
            let mut outcome = call(&mut self.headers[at..]);
            let peer = self.messages[at].route.peer;
            if self.messages[at].packets > 1 && outcome.as_ref().is_err_and(may_lack_segmentation) {
                on_failure(peer, SendFailure::NoSegmentation);
                outcome = self.send_one_by_one(at, &mut call).map(|()| 1);
            }
            match outcome {
                Ok(sent) => at += sent,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    // The send buffer stayed full for the whole write timeout. Another timeout for each message left
                    // would block all transfers of the worker.
                    for message in &self.messages[at..] {
                        on_failure(message.route.peer, SendFailure::Lost(io::ErrorKind::WouldBlock.into()));
                    }
                    break;
                }
                Err(error) => {
                    on_failure(peer, SendFailure::Lost(error));
                    at += 1;
                }
            }
        }
        self.messages.clear();
        self.pieces.clear();
    }

    /// Sends the packets of one message as a message each.
    fn send_one_by_one(
        &mut self,
        index: usize,
        call: &mut impl FnMut(&mut [libc::mmsghdr]) -> io::Result<usize>,
    ) -> io::Result<()> {
        let (mut header, message) = (self.headers[index], &self.messages[index]);
        let control = &mut self.controls[index];
        *control = Control([0; CONTROL_BYTES]);
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

    /// Builds the arguments of the system call: one iovec per piece, one header per message.
    fn build_headers(&mut self) {
        self.iovecs.clear();
        self.iovecs.extend(self.pieces.iter().map(Piece::iovec));
        self.controls.clear();
        self.controls.resize(self.messages.len(), Control([0; CONTROL_BYTES]));
        self.headers.clear();
        let ends = self.messages.iter().skip(1).map(|next| next.first_piece).chain([self.pieces.len()]);
        for ((message, end), control) in self.messages.iter().zip(ends).zip(&mut self.controls) {
            // SAFETY: an all-zero header is valid.
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
    /// Whether a packet of `size` bytes to `route`, in a run of packets of `full` bytes, can join this message.
    fn accepts(&self, route: &Route, full: usize, size: usize) -> bool {
        route.segmentation
            && !self.ended
            && self.route == *route
            && self.packet_size == full
            && self.packets < MAX_SEGMENTS
            && self.bytes + size <= MAX_MESSAGE_BYTES
    }
}

/// Whether an error can mean that the route or the kernel does not support segmentation.
fn may_lack_segmentation(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EIO | libc::EINVAL | libc::EMSGSIZE))
}

/// Writes the control messages of a message and returns their length in bytes.
fn write_control(control: &mut Control, source: Option<SourceAddress>, segment: Option<u16>) -> usize {
    let mut at = 0;
    let mut put = |level: libc::c_int, kind: libc::c_int, data: &[u8]| {
        let data_length = libc::c_uint::try_from(data.len()).unwrap_or_default();
        // SAFETY: CMSG_SPACE and CMSG_LEN only compute. The buffer has the alignment of a control message header, `at` is
        // a multiple of that alignment, and both control messages together take no more than CONTROL_BYTES.
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
        Some(SourceAddress { ip: IpAddr::V4(ip), .. }) => {
            // struct in_pktinfo: interface, source address, destination address (not read).
            let mut info = [0; size_of::<libc::in_pktinfo>()];
            info[4..8].copy_from_slice(&ip.octets());
            put(libc::IPPROTO_IP, libc::IP_PKTINFO, &info);
        }
        Some(SourceAddress { ip: IpAddr::V6(ip), interface }) => {
            // struct in6_pktinfo: source address, interface.
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

/// Converts a length to the type of a socket call. All lengths here are small.
fn length<T: TryFrom<usize> + Default>(length: usize) -> T {
    T::try_from(length).unwrap_or_default()
}

#[cfg(test)]
mod tests;
