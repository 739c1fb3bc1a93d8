//! Sends many packets with one system call.

use std::io;
use std::mem::zeroed;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;

use bytes::Bytes;
use socket2::SockAddr;

use super::message::{BATCH, Control, length, write_control};
use super::receive::is_delivery_error;
use super::route::Route;
use crate::depot::Piece;
use crate::tftp::packet::HEADER;

/// The most packets that the kernel accepts as one message (`UDP_MAX_SEGMENTS` of Linux before 6.9).
const MAX_SEGMENTS: usize = 64;
/// The most bytes of one message: 65,535 less the headers of IPv6 and UDP, rounded down.
const MAX_MESSAGE_BYTES: usize = 65_400;
/// Why packets were not sent as requested.
#[derive(Debug)]
pub enum SendFailure {
    /// The packets were not sent. They are lost, as if the network had lost them.
    Lost(io::Error),
    /// The route does not support UDP segmentation (see [`Route::segmentation`]). The packets were sent one by one.
    NoSegmentation,
}

/// Where the kernel takes the destination of a packet from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Destination {
    /// From the message.
    Named,
    /// From the socket, which is connected.
    Connected,
}

/// Packets to send, collected until [`SendBatch::flush`].
pub struct SendBatch {
    pub(super) messages: Vec<Message>,
    pub(super) parts: Vec<Part>,
    iovecs: Vec<libc::iovec>,
    headers: Vec<libc::mmsghdr>,
    controls: Vec<Control>,
}

/// One message: one packet, or a run of packets of equal size of which the last may be shorter.
pub(super) struct Message {
    route: Route,
    name: SockAddr,
    first_part: usize,
    packets: usize,
    bytes: usize,
    /// The size of each packet but the last, in bytes.
    packet_size: usize,
    /// A shorter packet has ended the run.
    ended: bool,
}

pub(super) enum Part {
    Header([u8; HEADER]),
    Payload(Piece),
}

impl Part {
    fn len(&self) -> usize {
        match self {
            Self::Header(bytes) => bytes.len(),
            Self::Payload(piece) => piece.len(),
        }
    }

    /// The address of the bytes. They are not read here: a payload may be a mapped page whose read fails.
    fn iovec(&self) -> libc::iovec {
        let bytes = match self {
            Self::Header(bytes) => bytes,
            Self::Payload(piece) => piece.for_system_call(),
        };
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
            parts: Vec::with_capacity(4 * BATCH),
            iovecs: Vec::with_capacity(4 * BATCH),
            headers: Vec::with_capacity(BATCH),
            controls: Vec::with_capacity(BATCH),
        }
    }

    /// Whether the batch should be flushed: it has its number of messages, or parts enough to use much memory.
    pub fn is_full(&self) -> bool {
        self.messages.len() >= BATCH || self.parts.len() >= 64 * BATCH
    }

    /// Adds a packet of `header` and `payload`. `full` is the size of the packets in its run, with the header.
    pub fn push(
        &mut self,
        route: &Route,
        full: usize,
        header: [u8; HEADER],
        payload: impl Iterator<Item: Into<Piece>>,
    ) {
        let first_part = self.parts.len();
        self.parts.push(Part::Header(header));
        self.parts.extend(payload.map(|piece| Part::Payload(piece.into())));
        let size = self.parts[first_part..].iter().map(Part::len).sum();
        match self.messages.last_mut() {
            Some(run) if run.accepts(route, full, size) => {
                run.packets += 1;
                run.bytes += size;
                run.ended = size < full;
            }
            _ => self.messages.push(Message {
                route: *route,
                name: route.peer.into(),
                first_part,
                packets: 1,
                bytes: size,
                packet_size: full,
                ended: size < full,
            }),
        }
    }

    /// Adds a packet that is a message of its own.
    pub fn push_single(&mut self, route: &Route, packet: Bytes) {
        let (first_part, bytes) = (self.parts.len(), packet.len());
        self.parts.push(Part::Payload(packet.into()));
        let name = route.peer.into();
        let message = Message { route: *route, name, first_part, packets: 1, bytes, packet_size: bytes, ended: true };
        self.messages.push(message);
    }

    /// Sends all packets and empties the batch. Calls `on_failure` with the peer of each message that was not sent as
    /// requested.
    pub fn flush(&mut self, socket: &UdpSocket, on_failure: impl FnMut(SocketAddr, SendFailure)) {
        self.flush_to(Destination::Named, socket, on_failure);
    }

    /// Like [`SendBatch::flush`], on a socket that is connected to the peer of all packets: the kernel looks up no route.
    pub fn flush_connected(&mut self, socket: &UdpSocket, on_failure: impl FnMut(SocketAddr, SendFailure)) {
        self.flush_to(Destination::Connected, socket, on_failure);
    }

    fn flush_to(
        &mut self,
        destination: Destination,
        socket: &UdpSocket,
        on_failure: impl FnMut(SocketAddr, SendFailure),
    ) {
        let descriptor = socket.as_raw_fd();
        self.flush_with(
            destination,
            |headers| {
                // SAFETY: the headers point into `messages`, `parts` (through `iovecs`) and `controls`, which stay
                // unchanged until the next `build_headers`. The kernel only reads; an unreadable page is EFAULT.
                let sent = unsafe { libc::sendmmsg(descriptor, headers.as_mut_ptr(), length(headers.len()), 0) };
                usize::try_from(sent).map_err(|_| io::Error::last_os_error())
            },
            on_failure,
        );
    }

    /// Like [`SendBatch::flush`], with a `call` that sends some messages, from the first on, and returns how many.
    pub(super) fn flush_with(
        &mut self,
        destination: Destination,
        mut call: impl FnMut(&mut [libc::mmsghdr]) -> io::Result<usize>,
        mut on_failure: impl FnMut(SocketAddr, SendFailure),
    ) {
        self.build_headers(destination);
        let mut at = 0;
        while at < self.headers.len() {
            let mut outcome = call(&mut self.headers[at..]);
            if outcome.as_ref().is_err_and(is_delivery_error) {
                // It may belong to an earlier packet.
                outcome = call(&mut self.headers[at..]);
            }
            let peer = self.messages[at].route.peer;
            if self.messages[at].packets > 1 && outcome.as_ref().is_err_and(may_lack_segmentation) {
                on_failure(peer, SendFailure::NoSegmentation);
                outcome = self.send_one_by_one(at, &mut call).map(|()| 1);
            }
            match outcome {
                Ok(sent) => at += sent,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    // The send buffer is full. The socket of a transfer does not block, and the rest does not fit either. That of a
                    // listener was full for its whole write timeout: another timeout for each message left would block all
                    // transfers of the worker.
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
        self.parts.clear();
    }

    /// Sends the packets of one message as a message each.
    fn send_one_by_one(
        &mut self,
        index: usize,
        call: &mut impl FnMut(&mut [libc::mmsghdr]) -> io::Result<usize>,
    ) -> io::Result<()> {
        let (mut header, message) = (self.headers[index], &self.messages[index]);
        let control = &mut self.controls[index];
        *control = Control::EMPTY;
        header.msg_hdr.msg_controllen = write_control(control, message.route.source, None);
        header.msg_hdr.msg_control = control.0.as_mut_ptr().cast();
        let end = self.messages.get(index + 1).map_or(self.parts.len(), |next| next.first_part);
        let mut starts: Vec<usize> =
            (message.first_part..end).filter(|at| matches!(self.parts[*at], Part::Header(_))).chain([end]).collect();
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

    /// Builds the arguments of the system call: one iovec per part, one header per message.
    fn build_headers(&mut self, destination: Destination) {
        self.iovecs.clear();
        self.iovecs.extend(self.parts.iter().map(Part::iovec));
        self.controls.clear();
        self.controls.resize(self.messages.len(), Control::EMPTY);
        self.headers.clear();
        let ends = self.messages.iter().skip(1).map(|next| next.first_part).chain([self.parts.len()]);
        for ((message, end), control) in self.messages.iter().zip(ends).zip(&mut self.controls) {
            // SAFETY: an all-zero header is valid.
            let mut header: libc::mmsghdr = unsafe { zeroed() };
            if destination == Destination::Named {
                header.msg_hdr.msg_name = message.name.as_ptr().cast_mut().cast();
                header.msg_hdr.msg_namelen = message.name.len();
            }
            let iovecs = &mut self.iovecs[message.first_part..end];
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

/// The bytes of a message of [`SendBatch`], and whether it has control messages, as the kernel would read them.
#[cfg(test)]
pub(super) fn inspect(message: &libc::mmsghdr) -> (Vec<u8>, bool) {
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
