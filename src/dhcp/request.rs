//! Parses DHCP requests for a boot file. The packets are not trusted, and no packet causes a panic.

use std::net::Ipv4Addr;

use dhcproto::v4::borrowed::Message;
use dhcproto::v4::{HType, MessageType, Opcode, OptionCode};

use super::ipxe::IpxeFeatures;
use super::options::Options;
use super::platform::Platform;
use super::unanswered::Unanswered;
use crate::boot::{Mac, Machine, Uuid};

/// The type of a DHCP message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MessageKind {
    /// DHCPDISCOVER: looks for servers.
    Discover,
    /// DHCPREQUEST: accepts an offer.
    Request,
}

/// The kind of client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientKind {
    /// Firmware, which needs its network boot program.
    Firmware,
    /// iPXE, which the firmware has loaded already and which needs its script.
    Ipxe(IpxeFeatures),
}

/// A client's request for a boot file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DhcpRequest {
    /// The message type.
    pub kind: MessageKind,
    /// The kind of client.
    pub client: ClientKind,
    /// The architecture types (option 93; RFC 4578 2.1 allows several): at least one.
    pub architectures: Vec<u16>,
    /// Its MAC address, and its UUID if it sends one.
    pub machine: Machine,
    /// Whether the vendor class is `HTTPClient` rather than `PXEClient` (option 60).
    pub http: bool,
    /// The server that it names (option 54).
    pub server: Option<Ipv4Addr>,
    /// The address that it requests (option 50). Such a request is about a lease, which only the DHCP server handles.
    pub requested_address: Option<Ipv4Addr>,
    /// The address that it has, or 0.0.0.0.
    pub address: Ipv4Addr,
    /// The relay that forwarded the request, or 0.0.0.0.
    pub relay: Ipv4Addr,
    /// The transaction id.
    pub(super) xid: u32,
    /// The flags of the header.
    pub(super) flags: u16,
    /// The hardware address.
    pub(super) mac: [u8; 6],
    /// The client machine identifier (option 97), sent back unchanged.
    pub(super) uuid: Option<Vec<u8>>,
    /// The relay agent information (option 82), whole, sent back unchanged (RFC 3046 2.2).
    pub(super) relay_info: Option<Vec<u8>>,
}

impl DhcpRequest {
    /// Parses a datagram. `Ok(None)` unless it is a DHCP request for a boot file, and an error if it looks like one but cannot be
    /// answered.
    ///
    /// Such a request has `PXEClient` or `HTTPClient` in option 60 and an architecture in option 93 (PXE 2.1 table 2-1, UEFI
    /// 2.10 24.7.3.2). A request for an address alone has neither.
    pub fn parse(datagram: &[u8]) -> Result<Option<Self>, Unanswered> {
        let Ok(message) = Message::new(datagram) else { return Ok(None) };
        let options = Options::read(datagram, &message);
        let kind = options.get(OptionCode::MessageType).and_then(|kind| kind.first().copied());
        let kind = match kind.map(MessageType::from) {
            Some(MessageType::Discover) => MessageKind::Discover,
            Some(MessageType::Request) => MessageKind::Request,
            _ => return Ok(None),
        };
        let class = options.get(OptionCode::ClassIdentifier).unwrap_or_default();
        let architectures = options.get(OptionCode::ClientSystemArchitecture).map(architectures);
        let http = class.starts_with(HTTP_CLIENT);
        let has_class = http || class.starts_with(PXE_CLIENT);
        if message.opcode() != Opcode::BootRequest || !(has_class || architectures.is_some()) {
            return Ok(None);
        }
        if message.htype() != HType::Eth {
            return Err(Unanswered::HardwareType(message.htype().into()));
        }
        // The length first: the codec trusts it.
        let mac = if message.hlen() == 6 { message.chaddr().try_into().ok() } else { None };
        // No card has these as its own address: all zero, or a group address (IEEE 802, 8.2).
        let Some(mac) = mac.filter(|mac: &[u8; 6]| *mac != [0; 6] && mac[0] & 1 == 0) else { return Ok(None) };
        if !has_class {
            return Err(Unanswered::UnknownClass);
        }
        let architectures = architectures.filter(|all| !all.is_empty()).ok_or(Unanswered::NoArchitecture)?;

        let encapsulated = options.number(IPXE_ENCAPSULATED);
        let is_ipxe = encapsulated.is_some() || options.get(OptionCode::UserClass).is_some_and(has_ipxe);
        let client = if is_ipxe { ClientKind::Ipxe(IpxeFeatures::read(encapsulated)) } else { ClientKind::Firmware };
        let uuid = options.get(OptionCode::ClientMachineIdentifier);
        let machine = Machine { mac: Some(Mac(mac)), uuid: uuid.and_then(parse_uuid), ..Machine::default() };
        Ok(Some(Self {
            kind,
            client,
            architectures,
            machine,
            http,
            server: options.get(OptionCode::ServerIdentifier).and_then(address),
            requested_address: options.get(OptionCode::RequestedIpAddress).and_then(address),
            address: message.ciaddr(),
            relay: message.giaddr(),
            xid: message.xid(),
            flags: message.flags().into(),
            mac,
            uuid: uuid.map(<[u8]>::to_vec),
            relay_info: options.get(OptionCode::RelayAgentInformation).map(<[u8]>::to_vec),
        }))
    }

    /// Its architecture in logs and metrics. The client cannot make up new values.
    pub fn arch_name(&self) -> &'static str {
        let platform = || self.platforms().next().map_or("unknown", Platform::name);
        if self.client == ClientKind::Firmware { platform() } else { "ipxe" }
    }

    /// The known platforms among its architectures, in its order. One that boots in another way than its vendor class says is
    /// left out: neither is to be trusted.
    pub(super) fn platforms(&self) -> impl Iterator<Item = Platform> {
        let known = self.architectures.iter().filter_map(|architecture| Platform::from_architecture(*architecture));
        known.filter(|platform| platform.boots_over_http() == self.http)
    }

    /// Whether it is UEFI PXE.
    pub(super) fn is_efi_pxe(&self) -> bool {
        self.client == ClientKind::Firmware && self.platforms().any(Platform::is_efi_pxe)
    }

    /// Whether the reply must be broadcast (RFC 2131 2, flag B).
    pub(super) fn wants_broadcast(&self) -> bool {
        self.flags & 0x8000 != 0
    }
}

/// The start of option 60 from PXE firmware (PXE 2.1, 2.1).
pub(super) const PXE_CLIENT: &[u8] = b"PXEClient";
/// The start of option 60 from UEFI HTTP Boot firmware (UEFI 2.10 24.7.3.2).
pub(super) const HTTP_CLIENT: &[u8] = b"HTTPClient";

/// The option that encapsulates iPXE's own options (iPXE `include/ipxe/dhcp.h`, `DHCP_EB_ENCAP`). Only iPXE and its
/// predecessors send it.
const IPXE_ENCAPSULATED: u8 = 175;

/// The architecture types in option 93: two bytes each.
fn architectures(data: &[u8]) -> Vec<u16> {
    data.as_chunks().0.iter().map(|bytes| u16::from_be_bytes(*bytes)).collect()
}

fn address(data: &[u8]) -> Option<Ipv4Addr> {
    <[u8; 4]>::try_from(data).ok().map(Ipv4Addr::from)
}

/// The UUID in option 97: a type, which is 0, and 16 bytes (RFC 4578 2.3).
fn parse_uuid(data: &[u8]) -> Option<Uuid> {
    let (0, uuid) = data.split_first().map(|(kind, uuid)| (*kind, uuid))? else { return None };
    uuid.try_into().ok().map(Uuid)
}

/// Whether option 77 holds the user class iPXE. iPXE sends the bare text (`dhcp_request_options_data`). RFC 3004 4 requires
/// the length before each class, and some relays and builds send that.
fn has_ipxe(class: &[u8]) -> bool {
    let mut rest = class;
    while let Some((length, after)) = rest.split_first() {
        let Some((one, next)) = after.split_at_checked(usize::from(*length)) else { break };
        if one == b"iPXE" {
            return true;
        }
        rest = next;
    }
    class == b"iPXE"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ipxe_user_class_with_or_without_length() {
        for class in [&b"iPXE"[..], b"\x04iPXE", b"\x03abc\x04iPXE"] {
            assert!(has_ipxe(class), "{class:?}");
        }
        for class in [&b""[..], b"iPX", b"iPXE2", b"\x05iPXE", b"\x03iPXE", b"gPXE", b"\xffiPXE"] {
            assert!(!has_ipxe(class), "{class:?}");
        }
    }

    #[test]
    fn uuid_needs_type_and_16_bytes() {
        assert_eq!(parse_uuid(&[0; 17]), Some(Uuid([0; 16])));
        assert_eq!([parse_uuid(&[1; 17]), parse_uuid(&[0; 16]), parse_uuid(&[0; 18]), parse_uuid(&[])], [None; 4]);
    }
}
