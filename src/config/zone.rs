//! Addresses of one network interface: link-local IPv6 addresses with a zone such as `[fe80::1%eth0]:69` (RFC 4007 11).

use std::net::{Ipv6Addr, SocketAddr, SocketAddrV6};

use rustix::net::{AddressFamily, SocketType, netdevice, socket};

/// Parses an address with the name of an interface as its zone, also in the spelling of URLs (`%25eth0`, RFC 6874). The error
/// says what is wrong; it is empty if the text is not such an address.
pub(super) fn zoned_address(text: &str) -> Result<SocketAddr, String> {
    let parts = || {
        let (address, port) = text.strip_prefix('[')?.rsplit_once("]:")?;
        let (address, zone) = address.split_once('%')?;
        Some((address.parse::<Ipv6Addr>().ok()?, zone, port.parse().ok()?))
    };
    let (address, zone, port) = parts().ok_or_else(String::new)?;
    if !address.is_unicast_link_local() {
        return Err(format!("only link-local addresses (fe80::) have a zone; remove %{zone}"));
    }
    let plain = zone.strip_prefix("25").filter(|plain| !plain.is_empty());
    let index = index(zone).or_else(|| index(plain?)).ok_or_else(|| {
        format!("this machine has no network interface {:?}; `ip link` lists them", plain.unwrap_or(zone))
    })?;
    Ok(SocketAddrV6::new(address, port, 0, index).into())
}

/// The index of the interface of this name.
fn index(name: &str) -> Option<u32> {
    let socket = socket(AddressFamily::INET, SocketType::DGRAM, None).ok()?;
    netdevice::name_to_index(&socket, name).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zone_is_interface_of_this_machine() {
        let lo = index("lo").expect("every machine has a loopback interface");
        for text in ["[fe80::1%lo]:69", "[fe80::1%25lo]:69"] {
            let expected = SocketAddrV6::new("fe80::1".parse().unwrap(), 69, 0, lo);
            assert_eq!(zoned_address(text), Ok(expected.into()), "{text}");
        }
    }

    #[test]
    fn unusable_zone_names_next_step() {
        let no_interface = "this machine has no network interface \"none0\"; `ip link` lists them";
        assert_eq!(zoned_address("[fe80::1%none0]:69").unwrap_err(), no_interface);
        assert_eq!(zoned_address("[fe80::1%25none0]:69").unwrap_err(), no_interface);
        assert_eq!(
            zoned_address("[2001:db8::1%lo]:69").unwrap_err(),
            "only link-local addresses (fe80::) have a zone; remove %lo"
        );
        for text in ["fe80::1%lo", "[fe80::1]:69x", "[1.2.3.4%lo]:69", "[fe80::1%lo]:", "%lo"] {
            assert_eq!(zoned_address(text).unwrap_err(), "", "{text}");
        }
    }
}
