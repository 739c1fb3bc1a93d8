//! The send buffer of a socket: how many bytes the kernel charges for a packet in it, and how many it holds. A socket that does
//! not block loses the packets that do not fit.

use std::net::UdpSocket;

use rustix::net::sockopt;

/// The largest send buffer that is requested, in bytes: the largest window. The kernel grants twice as much.
pub(super) const MAX_REQUEST: usize = 4 << 20;
/// What the kernel's buffer of a packet holds besides the block, in bytes: headers (TFTP 4, UDP 8, IPv6 40, link 16) and its
/// description (320), rounded up.
const OVERHEAD: usize = 512;
/// The kernel's record of a packet, in bytes (`struct sk_buff`).
const RECORD: usize = 256;
/// The record and a small buffer for the headers of a packet whose payload is in pages, in bytes; 836 were measured.
const HEADERS_APART: usize = 896;
/// The largest buffer that holds headers and payload, in bytes. The payload of longer packets is in pages.
const MAX_LINEAR: usize = 16 << 10;

/// The bytes of the send buffer that a DATA packet with `blksize` bytes takes until the network device has sent it: a buffer whose
/// size is a power of two, or pages.
///
/// Measured on Linux 6.18 (`SIOCOUTQ` while packets wait for a neighbour): 1280 for a block of 512 bytes (factor 2.50), 2304 for
/// 1428 and 1468 (1.61, 1.57), 8448 for 4096 (2.06), 16,640 for 8192 and 8968 (2.03, 1.86), 17,220 for 16,384 (1.05), 66,300 for
/// 65,464 (1.01). Packets that leave as one message (UDP segmentation) take 1.02 times their bytes; once the kernel has split them
/// for a device that cannot, each takes its block and 836 bytes, which for 512 bytes is more than alone (1348).
pub(super) fn charge(blksize: u16) -> usize {
    let linear = (usize::from(blksize) + OVERHEAD).next_power_of_two();
    let pages = usize::from(blksize) + HEADERS_APART;
    if linear > MAX_LINEAR { pages } else { pages.max(linear + RECORD) }
}

/// The most packets with `blksize` bytes that a send buffer of `size` bytes holds; at least one, which every buffer takes.
pub(super) fn largest_window(size: usize, blksize: u16) -> u16 {
    u16::try_from(size / charge(blksize)).unwrap_or(u16::MAX).max(1)
}

/// The size of the send buffer in bytes, as packets are charged to it.
pub(super) fn size(udp: &UdpSocket) -> usize {
    sockopt::socket_send_buffer_size(udp).unwrap_or_default()
}

/// Enlarges the send buffer to twice `bytes`: beyond the system's limit (`net.core.wmem_max`) with the capability `CAP_NET_ADMIN`,
/// else up to twice that limit. Never shrinks it.
pub(super) fn enlarge(udp: &UdpSocket, bytes: usize) {
    // Linux doubles the requested size for its own bookkeeping, and reports the doubled value.
    if size(udp) < 2 * bytes && sockopt::set_socket_send_buffer_size_force(udp, bytes).is_err() {
        let _ = sockopt::set_socket_send_buffer_size(udp, bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn charge_covers_measured_packets() {
        let linear = [(8, 832), (512, 1280), (1024, 2304), (1468, 2304), (2048, 4352), (4096, 8448), (8192, 16_640)];
        let pages = [(512, 1348), (1024, 1860), (1468, 2304), (8968, 9804), (16_384, 17_220), (65_464, 66_300)];
        for (blksize, bytes) in linear.into_iter().chain(pages) {
            assert!((bytes..bytes * 2).contains(&charge(blksize)), "{blksize}: {}", charge(blksize));
        }
    }

    #[test]
    fn largest_window_fits_small_buffer() {
        // Twice the usual net.core.wmem_max: what a process without CAP_NET_ADMIN gets.
        let granted = 2 * 212_992;
        for (blksize, window) in [(512, 302), (1468, 180), (8192, 25), (65_464, 6)] {
            assert_eq!(largest_window(granted, blksize), window, "{blksize}");
        }
        assert_eq!(largest_window(0, 1468), 1);
    }

    #[test]
    fn enlarged_buffer_is_never_shrunk() {
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        enlarge(&udp, 150_000);
        assert_eq!(size(&udp), 300_000);
        enlarge(&udp, 10_000);
        assert_eq!(size(&udp), 300_000);
    }
}
