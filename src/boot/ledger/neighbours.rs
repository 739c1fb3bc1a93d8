//! The kernel's neighbour table: the MAC of an address on the same segment, by ARP for IPv4 and by Neighbor Discovery for
//! IPv6 (RFC 4861). `/proc/net/arp` has only the first; netlink has both (rtnetlink(7), `RTM_GETNEIGH`).

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socket_with};

use crate::boot::mac::Mac;
use crate::task;

/// How long a copy of the table is used to look up new addresses.
const MAX_AGE: Duration = Duration::from_secs(1);
/// How long the kernel may take to answer. It answers at once.
const ANSWER: Duration = Duration::from_secs(1);
/// The kernel fills datagrams of up to 32 KiB (netlink(7)).
const DATAGRAM: usize = 64 << 10;
/// The length of `struct nlmsghdr` (linux/netlink.h).
const HEADER: usize = 16;
/// The length of `struct ndmsg` (linux/neighbour.h).
const ENTRY: usize = 12;
/// The length of `struct rtattr` (linux/rtnetlink.h).
const ATTRIBUTE: usize = 4;
/// The states `NUD_REACHABLE`, `NUD_STALE`, `NUD_DELAY`, `NUD_PROBE` and `NUD_PERMANENT` (linux/neighbour.h): the MAC is known.
const RESOLVED: u16 = 0x02 | 0x04 | 0x08 | 0x10 | 0x80;

/// A copy of the neighbour table, read again when it is too old.
#[derive(Default)]
pub(super) struct NeighbourTable {
    macs: HashMap<IpAddr, Mac>,
    read: Option<Instant>,
}

impl NeighbourTable {
    /// Returns the MAC of an address; `None` if the address is not on a local segment and does not contain one.
    pub(super) async fn mac_of(&mut self, peer: IpAddr) -> Option<Mac> {
        if peer.is_loopback() {
            return None;
        }
        if self.read.is_none_or(|read| read.elapsed() >= MAX_AGE) {
            let table = task::try_blocking(read).await;
            self.macs = table.ok().and_then(|table| table.inspect_err(log).ok()).unwrap_or_default();
            self.read = Some(Instant::now());
        }
        self.macs.get(&peer).copied().or_else(|| mac_in(peer))
    }
}

fn log(error: &io::Error) {
    tracing::debug!(%error, "neighbour table unreadable");
}

/// Returns the MAC in an IPv6 address that was made of one (modified EUI-64: RFC 4291, appendix A). Machines behind a router
/// are in no neighbour table.
fn mac_in(peer: IpAddr) -> Option<Mac> {
    let IpAddr::V6(address) = peer else { return None };
    let [.., first, second, third, 0xff, 0xfe, fourth, fifth, sixth] = address.octets() else { return None };
    // The second bit of the first octet is inverted. It is set in addresses that were assigned by a vendor.
    Some(Mac([first ^ 2, second, third, fourth, fifth, sixth])).filter(|mac| mac.is_real() && mac.0[0] & 1 == 0)
}

/// Reads the table. Blocks.
fn read() -> io::Result<HashMap<IpAddr, Mac>> {
    // The protocol 0 is NETLINK_ROUTE.
    let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, None)?;
    set_socket_timeout(&socket, Timeout::Recv, Some(ANSWER))?;
    send(&socket, &request(), SendFlags::empty())?;
    let mut macs = HashMap::new();
    let mut datagram = vec![0; DATAGRAM];
    loop {
        let (_, length) = recv(&socket, datagram.as_mut_slice(), RecvFlags::empty())?;
        if add_entries(&datagram[..length.min(DATAGRAM)], &mut macs)? {
            return Ok(macs);
        }
    }
}

/// The request for all entries of both families: `RTM_GETNEIGH` with `NLM_F_REQUEST` and `NLM_F_DUMP`.
fn request() -> Vec<u8> {
    message(30, 0x001 | 0x300, &[0; ENTRY])
}

/// A message of this type with these flags.
fn message(kind: u16, flags: u16, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(HEADER + payload.len()).unwrap_or(u32::MAX).to_ne_bytes();
    // The sequence number and the port are not used: the socket is new.
    [&length[..], &kind.to_ne_bytes(), &flags.to_ne_bytes(), &[0; 8], payload].concat()
}

/// Adds the resolved entries of one datagram. Returns whether it is the last one.
fn add_entries(mut datagram: &[u8], macs: &mut HashMap<IpAddr, Mac>) -> io::Result<bool> {
    let invalid = || io::Error::new(io::ErrorKind::InvalidData, "a message of the kernel is cut off");
    while !datagram.is_empty() {
        let length = u32_at(datagram, 0).and_then(|length| usize::try_from(length).ok()).ok_or_else(invalid)?;
        let kind = u16_at(datagram, 4).ok_or_else(invalid)?;
        let payload = datagram.get(HEADER..length).ok_or_else(invalid)?;
        match kind {
            // NLMSG_ERROR: the negative error number.
            2 => {
                return Err(io::Error::from_raw_os_error(
                    u32_at(payload, 0).ok_or_else(invalid)?.cast_signed().wrapping_neg(),
                ));
            }
            // NLMSG_DONE
            3 => return Ok(true),
            // RTM_NEWNEIGH
            28 => macs.extend(resolved(payload)),
            _ => {}
        }
        datagram = after(datagram, length);
    }
    Ok(false)
}

/// The address and the MAC of an entry, if its neighbour answered.
fn resolved(entry: &[u8]) -> Option<(IpAddr, Mac)> {
    if u16_at(entry, 8)? & RESOLVED == 0 {
        return None;
    }
    let (mut address, mut mac) = (None, None);
    let mut attributes = entry.get(ENTRY..)?;
    while !attributes.is_empty() {
        let length = usize::from(u16_at(attributes, 0)?);
        let value = attributes.get(ATTRIBUTE..length)?;
        match u16_at(attributes, 2)? {
            // NDA_DST
            1 => address = address_in(value),
            // NDA_LLADDR
            2 => mac = value.try_into().ok().map(Mac),
            _ => {}
        }
        attributes = after(attributes, length);
    }
    Some((address?, mac.filter(|mac| mac.is_real())?))
}

fn address_in(value: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(value).ok().map(IpAddr::from);
    v4.or_else(|| <[u8; 16]>::try_from(value).ok().map(IpAddr::from))
}

/// The bytes after an item of this length: items are aligned to four bytes (netlink(7)).
fn after(bytes: &[u8], length: usize) -> &[u8] {
    bytes.get(length.next_multiple_of(4)..).unwrap_or_default()
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAC: [u8; 6] = [0x24, 0x6e, 0x96, 0, 0, 1];

    const REACHABLE: u16 = 0x02;
    const STALE: u16 = 0x04;

    fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
        let length = u16::try_from(ATTRIBUTE + value.len()).unwrap();
        let padding = vec![0; value.len().next_multiple_of(4) - value.len()];
        [&length.to_ne_bytes()[..], &kind.to_ne_bytes(), value, &padding].concat()
    }

    /// An entry as the kernel sends it, with an attribute (`NDA_PROBES`) that does not matter.
    fn entry(address: &str, mac: &[u8], state: u16) -> Vec<u8> {
        let (family, address) = match address.parse().unwrap() {
            IpAddr::V4(address) => (2, address.octets().to_vec()),
            IpAddr::V6(address) => (10, address.octets().to_vec()),
        };
        let header = [&[family, 0, 0, 0][..], &7u32.to_ne_bytes(), &state.to_ne_bytes(), &[0, 1]].concat();
        let payload = [header, attribute(1, &address), attribute(4, &[0; 4]), attribute(2, mac)].concat();
        message(28, 2, &payload)
    }

    #[test]
    fn neighbours_of_both_families_are_read() {
        let datagram = [
            entry("192.0.2.7", &MAC, REACHABLE),
            entry("2001:db8::7", &MAC, STALE),
            entry("192.0.2.8", &MAC, 0x20),
            entry("192.0.2.9", &[], REACHABLE),
            // InfiniBand (RFC 4391).
            entry("192.0.2.11", &[1; 20], REACHABLE),
            entry("192.0.2.10", &[0; 6], 0x80),
            entry("::1", &[0; 6], 0x40),
        ]
        .concat();
        let mut macs = HashMap::new();
        assert!(!add_entries(&datagram, &mut macs).unwrap(), "more datagrams follow");
        let expected = ["192.0.2.7", "2001:db8::7"].map(|address| (address.parse().unwrap(), Mac(MAC)));
        assert_eq!(macs, HashMap::from(expected));
        assert!(add_entries(&message(3, 0, &[0; 4]), &mut macs).unwrap());
        assert!(add_entries(&datagram[..20], &mut macs).is_err(), "a truncated message");
        let refused = add_entries(&message(2, 0, &(-1i32).to_ne_bytes()), &mut macs).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::PermissionDenied);
        // Lengths that lie.
        for cut in 0..datagram.len() {
            let _ = add_entries(&datagram[..cut], &mut macs);
        }
    }

    #[test]
    fn neighbour_table_of_kernel_is_readable() {
        let read = read().unwrap();
        assert!(!read.contains_key(&"127.0.0.1".parse().unwrap()));
    }

    #[test]
    fn eui64_address_contains_mac() {
        let mac = |address: &str| mac_in(address.parse().unwrap());
        assert_eq!(mac("2001:db8::266e:96ff:fe00:1"), Some(Mac(MAC)));
        assert_eq!(mac("fe80::266e:96ff:fe00:1"), Some(Mac(MAC)));
        for other in ["2001:db8::7", "192.0.2.7", "2001:db8::2ff:feff", "::ffff:192.0.2.7"] {
            assert_eq!(mac(other), None, "{other}");
        }
    }
}
