//! What messages of both directions share: how many go into a call, their control messages, their lengths.

use std::mem::size_of;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ptr;

use super::route::SourceAddress;

/// Datagrams per system call. At 64 the cost of the call itself is less than a tenth of the cost of the datagrams.
pub const BATCH: usize = 64;
/// Bytes for the control messages of one datagram: an `in6_pktinfo` and a segment size take 40 and 24 bytes.
const CONTROL_BYTES: usize = 64;

/// Space for the control messages of one datagram.
#[derive(Clone, Copy)]
#[repr(C, align(8))]
pub(super) struct Control(pub(super) [u8; CONTROL_BYTES]);

impl Control {
    /// No control messages.
    pub(super) const EMPTY: Self = Self([0; CONTROL_BYTES]);
}

/// The address that a datagram was sent to; `None` without a control message that holds it.
pub(super) fn destination(header: &libc::msghdr) -> Option<SourceAddress> {
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

/// Writes the control messages of a message and returns their length in bytes.
pub(super) fn write_control(control: &mut Control, source: Option<SourceAddress>, segment: Option<u16>) -> usize {
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
pub(super) fn length<T: TryFrom<usize> + Default>(length: usize) -> T {
    T::try_from(length).unwrap_or_default()
}
