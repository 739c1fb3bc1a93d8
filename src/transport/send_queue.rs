//! How many bytes of a TCP socket's send queue the peer has not acknowledged: the only `unsafe` code of the transport.

#![expect(unsafe_code, reason = "ioctl(2) has no safe form, and no crate of the tree has this request")]

use std::os::fd::{AsFd, AsRawFd as _};

/// The bytes that were written to the socket and that the peer has not acknowledged (`SIOCOUTQ`, tcp(7)). 0 if the kernel
/// does not say.
pub(super) fn unacknowledged(socket: &impl AsFd) -> u64 {
    let mut bytes: libc::c_int = 0;
    let pointer: *mut libc::c_int = &raw mut bytes;
    // SAFETY: the descriptor is open while it is borrowed, and the kernel writes one int to the pointer, which is valid.
    let result = unsafe { libc::ioctl(socket.as_fd().as_raw_fd(), libc::TIOCOUTQ, pointer) };
    if result == 0 { u64::try_from(bytes).unwrap_or_default() } else { 0 }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn unread_bytes_stay_unacknowledged() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut sender = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut receiver, _) = listener.accept().unwrap();
        assert_eq!(unacknowledged(&sender), 0);
        sender.set_nonblocking(true).unwrap();
        let mut written = 0;
        while let Ok(count) = sender.write(&[0; 8 << 10]) {
            written += count as u64;
        }
        let queued = unacknowledged(&sender);
        assert!((1..=written).contains(&queued), "{queued} of {written}");
        receiver.read_exact(&mut vec![0; usize::try_from(written).unwrap()]).unwrap();
        while unacknowledged(&sender) > 0 {
            std::thread::yield_now();
        }
    }
}
