//! The kernel's neighbour table: which MAC an address on the same segment has. IPv4 only; IPv6 neighbours are in no file.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};

use crate::boot::Mac;

/// Where the kernel shows it (proc(5)). Memory, not a disk.
const TABLE: &str = "/proc/net/arp";

/// The table as it is now; empty where it cannot be read.
pub(super) fn read() -> HashMap<IpAddr, Mac> {
    std::fs::read_to_string(TABLE).map(|table| parse(&table)).unwrap_or_default()
}

/// Columns are address, hardware type, flags, hardware address, mask, device. An entry without the flag 0x2 (`ATF_COM`) is
/// not resolved, or no more.
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
    fn only_neighbours_that_answered_are_known() {
        let table = "IP address       HW type     Flags       HW address            Mask     Device\n\
            192.0.2.7        0x1         0x2         24:6e:96:00:00:01     *        eno1\n\
            192.0.2.8        0x1         0x0         24:6e:96:00:00:02     *        eno1\n\
            192.0.2.9        0x1         0x2         00:00:00:00:00:00     *        eno1\n\
            torn";
        let known = parse(table);
        assert_eq!(known, HashMap::from([("192.0.2.7".parse().unwrap(), Mac([0x24, 0x6e, 0x96, 0, 0, 1]))]));
    }
}
