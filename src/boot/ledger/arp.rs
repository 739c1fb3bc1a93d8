//! The kernel's ARP table: the MAC of an IPv4 address on the same segment. The kernel has no such file for IPv6.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use crate::boot::mac::Mac;
use crate::task;

/// The file of the kernel (proc(5)). Memory, not a disk.
const FILE: &str = "/proc/net/arp";

/// How long a copy of the table is used to look up new addresses.
const MAX_AGE: Duration = Duration::from_secs(1);

/// A copy of the ARP table, read again when it is too old.
#[derive(Default)]
pub(super) struct ArpTable {
    macs: HashMap<IpAddr, Mac>,
    read: Option<Instant>,
}

impl ArpTable {
    /// Returns the MAC of an address; `None` if the address is not on a local segment.
    pub(super) async fn mac_of(&mut self, peer: IpAddr) -> Option<Mac> {
        if peer.is_loopback() || peer.is_ipv6() {
            return None;
        }
        if self.read.is_none_or(|read| read.elapsed() >= MAX_AGE) {
            self.macs = task::try_blocking(read).await.unwrap_or_default();
            self.read = Some(Instant::now());
        }
        self.macs.get(&peer).copied()
    }
}

/// Reads the table; empty if it cannot be read.
fn read() -> HashMap<IpAddr, Mac> {
    std::fs::read_to_string(FILE).map(|table| parse(&table)).unwrap_or_default()
}

/// The columns are address, hardware type, flags, hardware address, mask, device. An entry without the flag 0x2 (`ATF_COM`)
/// is not resolved.
fn parse(table: &str) -> HashMap<IpAddr, Mac> {
    let entry = |line: &str| {
        let mut fields = line.split_ascii_whitespace();
        let address: Ipv4Addr = fields.next()?.parse().ok()?;
        let flags = u32::from_str_radix(fields.nth(1)?.strip_prefix("0x")?, 16).ok()?;
        let mac: Mac = fields.next()?.parse().ok()?;
        (flags & 2 != 0 && mac != Mac([0; 6])).then_some((IpAddr::V4(address), mac))
    };
    table.lines().filter_map(entry).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arp_unresolved_entries_are_ignored() {
        let table = "IP address       HW type     Flags       HW address            Mask     Device\n\
            192.0.2.7        0x1         0x2         24:6e:96:00:00:01     *        eno1\n\
            192.0.2.8        0x1         0x0         24:6e:96:00:00:02     *        eno1\n\
            192.0.2.9        0x1         0x2         00:00:00:00:00:00     *        eno1\n\
            truncated";
        let known = parse(table);
        assert_eq!(known, HashMap::from([("192.0.2.7".parse().unwrap(), Mac([0x24, 0x6e, 0x96, 0, 0, 1]))]));
    }
}
