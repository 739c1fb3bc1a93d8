//! The MTU of the route to a client, which bounds the size of an unfragmented block.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use rustix::net::sockopt;

/// The headers of an IPv4 packet: IP header 20, UDP header 8, TFTP header 4.
const IPV4_OVERHEAD: u32 = 32;
/// The headers of an IPv6 packet: IP header 40, UDP header 8, TFTP header 4.
const IPV6_OVERHEAD: u32 = 52;

/// The largest block, in bytes, that reaches `peer` unfragmented according to this machine's routes. Never blocks.
pub(super) fn largest_block(peer: SocketAddr) -> io::Result<u16> {
    let any = match peer.ip().to_canonical() {
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    };
    let socket = UdpSocket::bind((any, 0))?;
    // Connecting a UDP socket sends nothing, but looks up the route.
    let block = match peer {
        SocketAddr::V6(peer) if any.is_ipv6() => {
            socket.connect(peer)?;
            sockopt::ipv6_mtu(&socket)?.saturating_sub(IPV6_OVERHEAD)
        }
        _ => {
            socket.connect((peer.ip().to_canonical(), peer.port()))?;
            sockopt::ip_mtu(&socket)?.saturating_sub(IPV4_OVERHEAD)
        }
    };
    Ok(u16::try_from(block).unwrap_or(u16::MAX))
}

#[cfg(test)]
mod tests {
    use super::largest_block;

    #[test]
    fn largest_block_leaves_room_for_headers() {
        // Linux gives its loopback interface an MTU of 65,536, of which IPv4 can use 65,535.
        assert_eq!(largest_block("127.0.0.1:69".parse().unwrap()).unwrap(), 65503);
        assert_eq!(largest_block("[::ffff:127.0.0.1]:69".parse().unwrap()).unwrap(), 65503);
        assert_eq!(largest_block("[::1]:69".parse().unwrap()).unwrap(), 65484);
    }
}
