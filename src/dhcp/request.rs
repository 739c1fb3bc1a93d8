//! Parses DHCP requests for a boot file. The packets are not trusted, and no packet causes a panic.

use std::net::Ipv4Addr;

use dhcproto::v4::borrowed::Message;
use dhcproto::v4::{HType, MessageType, Opcode, OptionCode};

use super::platform::Platform;
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
    /// Firmware of a known platform.
    Firmware(Platform),
    /// iPXE, which the firmware has loaded already and which needs its script.
    Ipxe,
    /// Firmware of an unknown architecture, which has no NBP.
    Unknown,
}

/// A client's request for a boot file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DhcpRequest {
    /// The message type.
    pub kind: MessageKind,
    /// The kind of client.
    pub client: ClientKind,
    /// The architecture type (option 93), the first if there are several.
    pub architecture: u16,
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
    /// The relay agent information (option 82), sent back unchanged (RFC 3046 2.2).
    pub(super) relay_info: Option<Vec<u8>>,
}

impl DhcpRequest {
    /// Parses a datagram. Returns `None` unless it is a DHCP request for a boot file from an Ethernet card.
    ///
    /// Such a request has `PXEClient` or `HTTPClient` in option 60 and an architecture in option 93 (PXE 2.1 table 2-1, UEFI
    /// 2.10 24.7.3.2). A request for an address alone has not.
    pub fn parse(datagram: &[u8]) -> Option<Self> {
        let message = Message::new(datagram).ok()?;
        // The length first: the codec trusts it.
        let ethernet = message.hlen() == 6 && message.htype() == HType::Eth && message.opcode() == Opcode::BootRequest;
        let mac: [u8; 6] = if ethernet { message.chaddr().try_into().ok()? } else { return None };
        // No card has these as its own address: all zero, or a group address (IEEE 802, 8.2).
        if mac == [0; 6] || mac[0] & 1 == 1 {
            return None;
        }

        let (mut kind, mut class, mut architecture, mut user_class) = (None, None, None, None);
        let (mut server, mut requested_address, mut uuid, mut relay_info, mut encapsulated) =
            (None, None, None, None, false);
        for option in message.opts() {
            let data = option.data();
            match option.code() {
                OptionCode::MessageType => kind = data.first().copied(),
                OptionCode::ClassIdentifier => class = Some(data.to_vec()),
                OptionCode::ClientSystemArchitecture => architecture = data.first_chunk().copied(),
                OptionCode::UserClass => user_class = Some(data.to_vec()),
                OptionCode::ServerIdentifier => server = address(data),
                OptionCode::RequestedIpAddress => requested_address = address(data),
                OptionCode::ClientMachineIdentifier => uuid = Some(data.to_vec()),
                OptionCode::RelayAgentInformation => relay_info = Some(data.to_vec()),
                code if u8::from(code) == IPXE_ENCAPSULATED => encapsulated = true,
                _ => {}
            }
        }
        let kind = match MessageType::from(kind?) {
            MessageType::Discover => MessageKind::Discover,
            MessageType::Request => MessageKind::Request,
            _ => return None,
        };
        let class = class?;
        let http = class.starts_with(HTTP_CLIENT);
        if !http && !class.starts_with(PXE_CLIENT) {
            return None;
        }
        let architecture = u16::from_be_bytes(architecture?);
        let client = if encapsulated || user_class.is_some_and(|class| has_ipxe(&class)) {
            ClientKind::Ipxe
        } else {
            // A vendor class of one boot method with the architecture of the other: neither is to be trusted.
            let platform =
                Platform::from_architecture(architecture).filter(|platform| platform.boots_over_http() == http);
            platform.map_or(ClientKind::Unknown, ClientKind::Firmware)
        };
        let machine = Machine { mac: Some(Mac(mac)), uuid: uuid.as_deref().and_then(parse_uuid), ..Machine::default() };
        Some(Self {
            kind,
            client,
            architecture,
            machine,
            http,
            server,
            requested_address,
            address: message.ciaddr(),
            relay: message.giaddr(),
            xid: message.xid(),
            flags: message.flags().into(),
            mac,
            uuid,
            relay_info,
        })
    }

    /// Its architecture in logs and metrics. The client cannot make up new values.
    pub fn arch_name(&self) -> &'static str {
        match self.client {
            ClientKind::Ipxe => "ipxe",
            ClientKind::Firmware(platform) => platform.name(),
            ClientKind::Unknown => "unknown",
        }
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
