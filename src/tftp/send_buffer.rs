//! The send buffer of a socket: how many bytes the kernel charges for a packet in it, and how many it holds. A socket that does
//! not block loses the packets that do not fit.

use std::net::UdpSocket;

use rustix::net::sockopt;

/// The largest send buffer that is requested, in bytes: the largest window. The kernel grants twice as much.
pub(super) const MAX_REQUEST: usize = 4 << 20;
/// The bytes of a packet's buffer besides the block: headers (TFTP 4, UDP 8, IPv6 40, link 16) and the kernel's record of the
/// buffer (320), rounded up.
const HEADERS: usize = 512;
/// The kernel's record of a packet, in bytes (`struct sk_buff`).
const PACKET_RECORD: usize = 256;
/// The largest buffer that the kernel allocates in one piece, whose size is a power of two. Larger ones consist of pages.
const MAX_LINEAR: usize = 16 << 10;

/// The bytes of the send buffer that a DATA packet with `blksize` bytes takes until the network device has sent it.
///
/// Measured on Linux 6.18 (`SIOCOUTQ` with packets that wait for a neighbour): 1280 for a block of 512 bytes (factor 2.50), 2304
/// for 1428 and 1468 (1.61, 1.57), 8448 for 4096 (2.06), 16,640 for 8192 and 8968 (2.03, 1.86), 17,220 for 16,384 (1.05), 66,300
/// for 65,464 (1.01). Packets that leave as one message (UDP segmentation) take 1.02 times their bytes, but as much as the others
/// once the kernel splits them for a device that cannot.
pub(super) fn charge(blksize: u16) -> usize {
    let bytes = usize::from(blksize) + HEADERS;
    if bytes > MAX_LINEAR { bytes + 2 * HEADERS } else { bytes.next_power_of_two() + PACKET_RECORD }
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
        let measured = [
            (8, 832),
            (512, 1280),
            (1024, 2304),
            (1468, 2304),
            (2048, 4352),
            (4096, 8448),
            (8192, 16_640),
            (8968, 16_640),
        ];
        for (blksize, bytes) in measured.into_iter().chain([(15_900, 16_640), (16_384, 17_220), (65_464, 66_300)]) {
            assert!((bytes..bytes * 2).contains(&charge(blksize)), "{blksize}: {}", charge(blksize));
        }
    }

    #[test]
    fn largest_window_fits_small_buffer() {
        // Twice the usual net.core.wmem_max: what a process without CAP_NET_ADMIN gets.
        let granted = 2 * 212_992;
        for (blksize, window) in [(512, 332), (1468, 184), (8192, 25), (65_464, 6)] {
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
